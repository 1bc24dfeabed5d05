"""`fleet rebalance`, `drain` and `explain` on whole daemons, as operators use them."""

import asyncio
import re
import signal

import pytest

from fleet.pair import Pair, parse_label
from fleet.plan_store import read_plan, read_unplaced
from ops.cli.drain import find_member
from tests.support.commands import Ended, assert_one_line, run_fleet, running_fleet
from tests.support.fleet_processes import Child, Fleet
from tests.support.planned_fleet import PlannedFleet

PAIRS = [
    Pair("okx", market, f"{base}/USDT") for base in ("BTC", "ETH", "SOL") for market in ("spot", "futures")
]  # fmt: skip
BTC = PAIRS[0]


async def settled(fleet: Fleet, wait_until, *children: Child) -> dict[Child, str]:
    """Every pair live and where the plan wants it; the members' ids."""
    await fleet.live(PAIRS)
    ids = {}
    for child in children:
        member = await wait_until(lambda child=child: fleet.member_of(child), f"the beat of {child.pid}")
        ids[child] = member.id

    async def as_planned() -> bool:
        plan = await read_plan(fleet.redis, fleet.keys)
        if plan is None or {name for order in plan.orders.values() for name in order} != set(ids.values()):
            return False
        holders = await fleet.lease_holders(PAIRS)
        return {pair.label: holder for pair, holder in holders.items()} == {
            label: order[0] for label, order in plan.orders.items()
        }

    await wait_until(as_planned, f"every pair where the plan wants it: {children}", 30)
    return ids


async def test_a_daemon_is_drained_keeps_running_and_is_filled_again(new_fleet, wait_until) -> None:
    fleet = await new_fleet(PAIRS)
    one, other = fleet.daemon(), fleet.daemon()
    ids = await settled(fleet, wait_until, one, other)
    done = await fleet.command("drain", ids[one][: ids[one].rindex(":") + 3])
    assert done.code == 0, done
    assert "owns no pairs" in done.out
    assert len(await fleet.owned_by(other, PAIRS)) == len(PAIRS)
    assert one.code is None
    member = await fleet.member_of(one)
    assert member is not None
    assert member.quiet

    explained = (await fleet.command("explain", *BTC, "--json")).json
    assert explained["owner"] == ids[other]
    assert explained["order"] == [ids[other]]
    assert {each["id"]: each["condition"] for each in explained["candidates"]}[ids[one]] == "quiet"

    undone = await fleet.command("drain", ids[one], "--undo")
    assert undone.code == 0, undone
    await settled(fleet, wait_until, one, other)
    assert len(await fleet.owned_by(one, PAIRS)) in range(2, 5)


async def test_the_last_daemon_cannot_be_drained(new_fleet, wait_until) -> None:
    fleet = await new_fleet(PAIRS)
    one = fleet.daemon()
    ids = await settled(fleet, wait_until, one)
    assert_one_line(await fleet.command("drain", ids[one]), 1, "no other daemon takes pairs", "start one first")
    member = await fleet.member_of(one)
    assert member is not None
    assert not member.quiet


async def test_a_dry_run_needs_no_leader_and_says_what_it_would_move(redis_url: str, redis, database: str) -> None:
    settings = {
        "FLEET_REDIS_URL": redis_url,
        "FLEET_DATABASE_URL": database,
        "FLEET_NAMESPACE": "test",
        "FLEET_SHARDS": "2",
    }
    bases = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")
    assert run_fleet("tasks", "add", "okx", "spot", *bases, **settings).code == 0
    fleet = PlannedFleet(redis)  # members as beats show them: no daemon, no leader
    await fleet.join("old:1:aa", "new:1:bb")
    await fleet.serve("old:1:aa", {f"okx:spot:{base}": 5.0 for base in bases})
    dry = await asyncio.to_thread(run_fleet, "rebalance", "--dry-run", "--json", **settings)
    assert [(move["venue"], move["market"], move["from"], move["to"]) for move in dry.json["moves"]] == [
        ("okx", "spot", "old:1:aa", "new:1:bb")
    ] * 2
    assert all(move["pair"] in bases and "balance" in move["why"] for move in dry.json["moves"])
    assert await read_plan(redis, fleet.keys) is None
    text = await asyncio.to_thread(run_fleet, "rebalance", "--dry-run", **settings)
    assert "old:1:aa carried 200 % of the mean load" in text.out


async def test_a_rebalance_is_planned_by_the_leader_and_explain_says_why_a_pair_is_where_it_is(
    new_fleet, wait_until
) -> None:
    fleet = await new_fleet(PAIRS)
    one, other = fleet.daemon(), fleet.daemon()
    await settled(fleet, wait_until, one, other)
    found = (await fleet.command("explain", *BTC, "--json")).json
    holders = await fleet.lease_holders([BTC])
    assert (found["venue"], found["market"], found["pair"]) == BTC
    assert found["owner"] == holders[BTC] == found["order"][0]
    assert found["wanted"]
    assert [task["table"] for task in found["tasks"]] == ["MONITORING"]
    assert 0 < found["lease_ms"] <= 1500
    assert found["epoch"] > 0
    assert found["status"] == "live"
    assert [each["rank"] for each in found["candidates"]] == [0, 1]
    assert found["candidates"][0]["role"] == "owner"
    assert found["candidates"][0]["load"] > 0
    assert found["candidates"][0]["seams"] == 0
    assert any("the plan wants it there" in line for line in found["why"])
    text = await fleet.command("explain", *BTC)
    assert text.code == 0
    for word in ("okx spot BTC/USDT: live", "serves it", "planned owner", "first heir", "MONITORING row"):
        assert word in text.out, text.out

    before = await read_plan(fleet.redis, fleet.keys)
    dry = await fleet.command("rebalance", "--dry-run", "--json")
    assert dry.code == 0, dry
    assert dry.json.keys() == {"moves"}
    assert await read_plan(fleet.redis, fleet.keys) == before
    done = await fleet.command("rebalance", "--json")
    assert done.code == 0, done
    after = await read_plan(fleet.redis, fleet.keys)
    assert before is not None
    assert after is not None
    assert after.head.rebalanced == after.head.revision != before.head.revision
    assert len(done.json["moves"]) == after.head.moved
    assert all(move.keys() == {"venue", "market", "pair", "from", "to", "why"} for move in done.json["moves"])


async def test_explain_says_what_has_no_place(new_fleet, wait_until) -> None:
    fleet = await new_fleet(PAIRS, FLEET_CAPACITY="3")
    fleet.daemon()

    unplaced = await wait_until(
        lambda: read_unplaced(fleet.redis, fleet.keys), "a plan that says what has no place", 30
    )
    assert len(unplaced) == len(PAIRS) - 3
    pair = parse_label(min(unplaced))
    said = await fleet.command("explain", *pair)
    assert "nobody holds its lease: no place: 1 daemon takes 3 pairs" in said.out


def test_without_a_leader_a_rebalance_says_so(redis_url: str, database) -> None:
    settings = {"FLEET_REDIS_URL": redis_url, "FLEET_DATABASE_URL": database}
    assert_one_line(run_fleet("rebalance", **settings), 1, "no daemon leads")
    assert run_fleet("rebalance", "--dry-run", "--json", **settings).json == {"moves": []}


def test_an_unknown_member_or_pair_is_code_3(redis_url: str, database) -> None:
    settings = {"FLEET_REDIS_URL": redis_url, "FLEET_DATABASE_URL": database}
    assert_one_line(run_fleet("drain", "nobody", **settings), 3, "nobody", "no daemon is running")
    unknown: Ended = run_fleet("explain", *BTC, **settings)
    assert_one_line(unknown, 3, "no task asks for it")
    asked = run_fleet("explain", *BTC, "--json", **settings)
    assert asked.code == 3
    assert asked.json["why"][0] == "no task asks for it: nobody need serve it"


@pytest.fixture
def database(tmp_path) -> str:
    """A SQLite file with the tables of tasks, and no task."""
    url = f"sqlite:///{tmp_path / 'fleet.db'}"
    assert run_fleet("init", FLEET_DATABASE_URL=url).code == 0
    return url


async def test_ctrl_c_ends_the_waiting_and_not_the_drain(new_fleet, wait_until) -> None:
    fleet = await new_fleet(PAIRS)
    one, other = fleet.daemon(), fleet.daemon()
    ids = await settled(fleet, wait_until, one, other)
    other.pause()  # nobody can take the pairs
    try:
        with running_fleet("drain", ids[one], **fleet.environment) as waiting:
            await wait_until(lambda: fleet_is_quiet(fleet, one), "the drain to begin", 15)
            waiting.send_signal(signal.SIGINT)
            _, told = waiting.communicate(timeout=15)
            assert waiting.returncode == 130
            assert re.search(rf"goes on as asked.*fleet drain {ids[one]} --undo", told), told
    finally:
        other.resume()
    await wait_until(lambda: owns_nothing(fleet, one), "the drain to end", 30)


async def fleet_is_quiet(fleet: Fleet, child: Child) -> bool:
    member = await fleet.member_of(child)
    return member is not None and member.quiet


async def owns_nothing(fleet: Fleet, child: Child) -> bool:
    return await fleet_is_quiet(fleet, child) and not await fleet.owned_by(child, PAIRS)


def test_a_member_is_found_by_the_only_beginning() -> None:
    from fleet.errors import ConfigError, NotFound
    from fleet.heartbeat import MemberRecord

    members = [MemberRecord(id=name, host="h", pid=1, roles=(), capacity=1) for name in ("h:1:ab", "h:1:abc", "h:2:ac")]
    assert find_member(members, "h:2").id == "h:2:ac"
    assert find_member(members, "h:1:ab").id == "h:1:ab"
    with pytest.raises(ConfigError, match="beginning of 3 members"):
        find_member(members, "h:")
    with pytest.raises(NotFound, match="there are h:1:ab, h:1:abc, h:2:ac"):
        find_member(members, "x")
