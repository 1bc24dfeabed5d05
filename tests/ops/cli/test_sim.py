"""`fleet sim`."""

import json
import signal
import urllib.request

from tests.support.commands import assert_one_line, run_fleet, running_fleet


def test_it_prints_its_endpoints_and_serves_until_sigterm():
    with running_fleet("sim", "binance:spot", "okx", "--pairs", "2", "--seed", "3") as simulator:
        endpoints = json.loads(simulator.stdout.readline())
        assert [(each["venue"], each["market"]) for each in endpoints] == [
            ("binance", "spot"), ("okx", "spot"), ("okx", "futures"),
        ]  # fmt: skip
        assert all(each["ws_url"].startswith("ws://127.0.0.1:") for each in endpoints)
        with urllib.request.urlopen(endpoints[0]["rest_url"] + "/api/v3/time", timeout=10) as answer:
            assert "serverTime" in json.load(answer)
        simulator.send_signal(signal.SIGTERM)
        _, err = simulator.communicate(timeout=20)
    assert (simulator.returncode, err) == (0, "")


def test_a_venue_that_is_not_simulated_names_the_nearest():
    assert_one_line(run_fleet("sim", "binanc"), 2, "'binanc'", "did you mean binance?")


def test_options_that_cannot_be_right_are_one_line():
    assert_one_line(run_fleet("sim", "--pairs", "0"), 2, "--pairs")
    assert_one_line(run_fleet("sim", "--rate", "-1"), 2, "rate", "above 0")
    assert_one_line(run_fleet("sim", "okx", "--port", "65535"), 2, "--port 65535", "2 markets", "at most 65534")
