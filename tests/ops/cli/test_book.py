"""`fleet book`, `fleet key`, `fleet watch`."""

import json
import signal

import pytest

from tests.support.commands import assert_one_line, run_fleet, running_fleet
from tests.support.small_fleet import BTC, delta, small_fleet

NAMED = (BTC.venue, BTC.market, BTC.pair)
KEYS = {"status", "bids", "asks", "sequence", "n", "epoch", "owner", "age_ms", "venue_ms", "received_us"}
WATCH_KEYS = {"kind", "n", "epoch", "sequence", "bids", "asks", "venue_ms", "received_us"}


async def test_json_is_the_contract_in_exact_decimal_text(redis_url, fleet_in_redis):
    token = await fleet_in_redis.make_live(BTC)
    ended = run_fleet("book", *NAMED, "--json", FLEET_REDIS_URL=redis_url)
    assert (ended.code, ended.err) == (0, "")
    shown = ended.json
    assert shown.keys() >= KEYS
    assert shown["bids"] == [["65000", "0.25"], ["64999.9", "1.5"], ["64000", "10"]]
    assert shown["asks"] == [["65000.1", "0.5"], ["65010", "2"], ["70000.55", "0.001"]]
    assert (shown["status"], shown["sequence"], shown["epoch"]) == ("live", 7, token)
    assert shown["owner"] == fleet_in_redis.members[0]
    assert 0 <= shown["age_ms"] < 30_000


async def test_depth_cuts_both_sides(redis_url, fleet_in_redis):
    await fleet_in_redis.make_live(BTC)
    shown = run_fleet("book", *NAMED, "--json", "--depth", "1", FLEET_REDIS_URL=redis_url).json
    assert (shown["bids"], shown["asks"]) == ([["65000", "0.25"]], [["65000.1", "0.5"]])


async def test_people_see_a_ladder(redis_url, fleet_in_redis):
    await fleet_in_redis.make_live(BTC)
    ended = run_fleet("book", "Binance", "SPOT", "btc/usdt", FLEET_REDIS_URL=redis_url)
    assert ended.code == 0
    assert "spread 0.1" in ended.out
    assert "70000.55" in ended.out


async def test_a_missing_book_ends_with_3_and_one_line(redis_url, fleet_in_redis):
    ended = run_fleet("book", *NAMED, FLEET_REDIS_URL=redis_url)
    assert_one_line(ended, 3, "binance spot BTC/USDT is missing", "fleet tasks list", "fleet status")
    assert ended.out == ""


async def test_a_pair_that_is_refused_ends_with_3_and_the_reason(redis_url, fleet_in_redis):
    reason = "binance spot is turned off by FLEET_VENUES__BINANCE__SPOT__ENABLED=false"
    await fleet_in_redis.beat("host-1:4001:aabb", notes={BTC.label: {"state": "refused", "reason": reason}})
    ended = run_fleet("book", *NAMED, FLEET_REDIS_URL=redis_url)
    assert_one_line(ended, 3, f"binance spot BTC/USDT is refused: {reason}")
    assert ended.out == ""


async def test_a_stale_book_ends_with_3_and_shows_no_level(redis_url, fleet_in_redis):
    await fleet_in_redis.make_live(BTC)
    await fleet_in_redis.kill_owner(BTC)
    ended = run_fleet("book", *NAMED, FLEET_REDIS_URL=redis_url)
    assert_one_line(ended, 3, "is stale", "no daemon holds its lease", "ago")
    assert ended.out == ""
    as_json = run_fleet("book", *NAMED, "--json", FLEET_REDIS_URL=redis_url)
    assert_one_line(as_json, 3, "is stale")
    assert (as_json.json["status"], as_json.json["bids"], as_json.json["asks"]) == ("stale", [], [])


async def test_a_resyncing_book_ends_with_3(redis_url, fleet_in_redis):
    await fleet_in_redis.make_live(BTC)
    await fleet_in_redis.reset(BTC)
    assert_one_line(run_fleet("book", *NAMED, FLEET_REDIS_URL=redis_url), 3, "is not live yet", "resync")


@pytest.mark.parametrize("command", ["book", "key", "watch"])
@pytest.mark.parametrize(
    ("named", "words"),
    [
        (("binnance", "spot", "BTC/USDT"), ["binnance", "did you mean binance?"]),
        (("binance", "spto", "BTC/USDT"), ["spto", "spot or futures"]),
        (("binance", "spot", "BTCUSDT"), ["BTCUSDT", "BASE/QUOTE"]),
    ],
)
def test_a_name_that_cannot_be_right_is_one_line(command, named, words):
    assert_one_line(run_fleet(command, *named), 2, *words)


async def test_the_key_is_that_of_the_book(redis_url, fleet_in_redis):
    await fleet_in_redis.make_live(BTC)
    ended = run_fleet("key", *NAMED, FLEET_REDIS_URL=redis_url)
    assert (ended.code, ended.err) == (0, "")
    assert await fleet_in_redis.client.hget(ended.out.strip(), "status") == b"live"


async def test_the_key_follows_the_layout_in_redis_not_the_setting(redis_url):
    async with small_fleet(redis_url, shards=3) as fleet:
        shown = run_fleet("key", *NAMED, FLEET_REDIS_URL=redis_url, FLEET_SHARDS="16").out.strip()
        assert shown == fleet.keys.book(BTC)


def test_the_key_can_be_told_without_redis():
    ended = run_fleet("key", *NAMED, FLEET_REDIS_URL="redis://127.0.0.1:1", FLEET_NAMESPACE="desk")
    assert (ended.code, ended.out) == (0, "desk:book:binance:spot:BTC/USDT:{15}\n")
    assert_one_line(ended, 0, "FLEET_SHARDS=16", "127.0.0.1:1")


async def test_watch_prints_a_line_an_event_from_the_snapshot_on(redis_url, fleet_in_redis):
    fleet = fleet_in_redis
    await fleet.make_live(BTC)
    with running_fleet("watch", *NAMED, "--json", "--limit", "3", FLEET_REDIS_URL=redis_url) as watching:
        first = json.loads(watching.stdout.readline())
        assert first.keys() >= WATCH_KEYS
        assert (first["kind"], first["sequence"]) == ("snapshot", 7)
        assert first["bids"][0] == ["65000", "0.25"]
        n = await fleet.publish(BTC, delta(BTC, {"65000": "0", "64999.95": "3"}, {}, 8))
        await fleet.reset(BTC)
        out, err = watching.communicate(timeout=20)
    second, third = map(json.loads, out.splitlines())
    assert (second["kind"], second["n"], second["sequence"]) == ("delta", n, 8)
    assert second["bids"] == [["65000", "0"], ["64999.95", "3"]]
    assert (third["kind"], third["reason"], third["bids"]) == ("reset", "gap", [])
    assert (watching.returncode, err) == (0, "")


async def test_watch_ends_quietly_when_nobody_reads_any_more(redis_url, fleet_in_redis, wait_until):
    fleet = fleet_in_redis
    await fleet.make_live(BTC)
    with running_fleet("watch", *NAMED, "--json", FLEET_REDIS_URL=redis_url) as watching:
        assert watching.stdout.readline()
        watching.stdout.close()
        await fleet.publish(BTC, delta(BTC, {"65000": "9"}, {}, 8))
        await wait_until(lambda: watching.poll() is not None, "the end of watch")
        assert (watching.returncode, watching.stderr.read()) == (0, "")


async def test_ctrl_c_ends_watch_quietly(redis_url, fleet_in_redis):
    await fleet_in_redis.make_live(BTC)
    with running_fleet("watch", *NAMED, FLEET_REDIS_URL=redis_url) as watching:
        assert "snapshot" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=20)
    assert (watching.returncode, out, err) == (0, "", "")


def test_watch_ends_after_its_seconds_also_without_an_event(redis_url):
    ended = run_fleet("watch", *NAMED, "--json", "--seconds", "0.1", FLEET_REDIS_URL=redis_url)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
