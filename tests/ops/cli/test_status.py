"""`fleet status`."""

from tests.support.commands import run_fleet
from tests.support.small_fleet import BTC, small_fleet


async def test_json_is_the_contract(redis_url, fleet_in_redis):
    fleet = fleet_in_redis
    one, other = fleet.members
    token = await fleet.make_live(BTC, holder=one)
    term = await fleet.lead(other)
    await fleet.beat(one, {BTC.label: {"rate": 2.5, "gaps": 1, "state": "live"}}, pairs=1, rate=2.5)
    shown = run_fleet("status", "--json", FLEET_REDIS_URL=redis_url).json
    assert (shown["leader"], shown["term"]) == (other, term)
    [member] = shown["members"]
    assert {"id", "host", "pid", "roles", "pairs", "rate", "loop_stall_ms", "version"} <= member.keys()
    assert (member["id"], member["host"], member["pid"], member["roles"]) == (one, "host-1", 1001, ["feed", "monitor"])
    [pair] = shown["pairs"]
    assert pair["age_ms"] >= 0
    expected = {
        "venue": "binance", "market": "spot", "pair": "BTC/USDT", "owner": one, "epoch": token, "status": "live",
        "sequence": 7, "rate": 2.5, "gaps": 1, "reason": None,
    }  # fmt: skip
    assert {name: pair[name] for name in expected} == expected


def test_an_empty_redis_is_an_empty_fleet(redis_url):
    ended = run_fleet("status", "--json", FLEET_REDIS_URL=redis_url)
    assert ended.code == 0
    assert {name: ended.json[name] for name in ("leader", "term", "members", "pairs")} == {
        "leader": None, "term": None, "members": [], "pairs": [],
    }  # fmt: skip


async def test_people_see_every_pair_with_its_reason(redis_url, fleet_in_redis):
    fleet = fleet_in_redis
    await fleet.make_live(BTC)
    await fleet.beat(
        fleet.members[0], {"okx:spot:FOO/USDT": {"state": "waiting", "reason": "no daemon has room: capacity 500"}}
    )
    out = run_fleet("status", FLEET_REDIS_URL=redis_url).out
    assert "binance spot BTC/USDT" in out
    assert "no daemon has room: capacity 500" in out
    assert not [line for line in out.splitlines() if line != line.rstrip()], "no padding in a pipe"


async def test_a_fleet_of_other_shards_and_another_namespace_is_found(redis_url):
    async with small_fleet(redis_url, namespace="desk", shards=3) as fleet:
        await fleet.make_live(BTC)
        shown = run_fleet("status", "--json", FLEET_REDIS_URL=redis_url, FLEET_NAMESPACE="desk").json
        assert [pair["status"] for pair in shown["pairs"]] == ["live"]
        assert run_fleet("status", "--json", FLEET_REDIS_URL=redis_url).json["pairs"] == []


def test_an_empty_fleet_says_what_to_do(redis_url):
    assert "start one with `fleet up`" in run_fleet("status", FLEET_REDIS_URL=redis_url).out
