"""`fleet config`."""

import pytest

from tests.support.commands import assert_one_line, run_fleet

SECRET = "hidden-word"


def test_show_prints_every_setting_and_no_secret():
    given = {
        "FLEET_REDIS_URL": f"redis://me:{SECRET}@10.0.0.1:6379/0",
        "FLEET_DATABASE_URL": f"mysql://me:{SECRET}@10.0.0.2/fleet",
        "FLEET_CLICKHOUSE_URL": f"clickhouse://me:{SECRET}@10.0.0.3:9000/fleet",
        "FLEET_API_TOKEN": SECRET,
        "FLEET_VENUES__OKX__SPOT__REST_URL": "http://127.0.0.1:8080",
    }
    text = run_fleet("config", "show", **given)
    as_json = run_fleet("config", "show", "--json", **given)
    for ended in (text, as_json):
        assert ended.code == 0
        assert SECRET not in ended.out + ended.err
        assert "10.0.0.3:9000" in ended.out
        assert "http://127.0.0.1:8080" in ended.out
    assert "FLEET_LEASE_MS" in text.out
    assert as_json.json["lease_ms"] == 4000


@pytest.mark.parametrize("switch", ["true", "false"])
def test_a_switch_of_a_venue_is_shown_either_way(switch, tmp_path):
    name = "FLEET_VENUES__COINEX__SPOT__ENABLED"
    shown = run_fleet("config", "show", **{name: switch})
    assert f"coinex.spot.enabled={switch}" in shown.out
    file = tmp_path / "fleet.toml"
    file.write_text(f"[venues.coinex.spot]\nenabled = {switch}\n")
    assert f"coinex.spot.enabled={switch}" in run_fleet("config", "show", FLEET_CONFIG=str(file)).out
    as_json = run_fleet("config", "show", "--json", FLEET_CONFIG=str(file)).json
    assert as_json["venues"]["coinex"]["spot"]["enabled"] is (switch == "true")


def test_check_accepts_what_can_be_right_without_asking_a_server():
    ended = run_fleet(
        "config", "check", FLEET_REDIS_URL="redis://127.0.0.1:1", FLEET_DATABASE_URL="mysql://u:p@127.0.0.1:1/x"
    )
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FLEET_LEASE_MS", "soon", ["FLEET_LEASE_MS", "'soon'"]),
        ("FLEET_LEASE", "1", ["did you mean FLEET_LEASE_MS?"]),
        ("FLEET_REDIS_URL", "http://x", ["FLEET_REDIS_URL", "redis://"]),
        ("FLEET_DATABASE_URL", "mysql://u:p@host", ["FLEET_DATABASE_URL", "database"]),
        ("FLEET_VENUES__BINNANCE__SPOT__WS_URL", "wss://x", ["'binnance'", "did you mean binance?"]),
        ("FLEET_VENUES__OKX__SPOT__WS_URL", "ws://example.com", ["loopback only", "wss://"]),
        ("FLEET_CONFIG", "nowhere.toml", ["nowhere.toml"]),
    ],
)
def test_check_names_what_cannot_be_right(name, value, words):
    assert_one_line(run_fleet("config", "check", **{name: value}), 2, *words)
