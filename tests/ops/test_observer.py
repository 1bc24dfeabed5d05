"""Redis → FleetStatus, against books and beats written by the real scripts."""

import json

from ops.observer import Observer
from tests.support.small_fleet import BTC, ETH, delta


async def observe(fleet):
    return await Observer(fleet.client, fleet.keys).observe()


async def test_an_empty_redis_is_an_empty_fleet(fleet_in_redis):
    status = await observe(fleet_in_redis)
    assert (status.leader, status.term, status.members, status.pairs) == (None, None, (), ())


async def test_members_leader_and_live_pairs_are_seen(fleet_in_redis):
    fleet = fleet_in_redis
    one, other = fleet.members
    token = await fleet.make_live(BTC, holder=one)
    term = await fleet.lead(other)
    await fleet.beat(
        one, {BTC.label: {"rate": 12.5, "gaps": 2, "resyncs": 1, "seams": 3, "reason": None, "state": "live"}}, pairs=1
    )
    await fleet.beat(other)
    status = await observe(fleet)
    assert (status.leader, status.term) == (other, term)
    assert [member.id for member in status.members] == sorted([one, other])
    assert status.members[0].pairs == 1
    assert 0 <= status.members[0].beat_age_ms < 10_000
    [pair] = status.pairs
    assert (pair.key, pair.owner, pair.epoch, pair.status) == (BTC, one, token, "live")
    assert (pair.sequence, pair.rate, pair.gaps, pair.resyncs, pair.seams) == (7, 12.5, 2, 1, 3)
    assert status.to_json()["pairs"][0]["seams"] == 3
    assert (pair.best_bid, pair.best_ask) == ("65000", "65000.1")
    assert 0 <= pair.age_ms < 10_000


async def test_a_daemon_of_an_older_version_counts_no_seams(fleet_in_redis):
    fleet = fleet_in_redis
    await fleet.make_live(BTC)
    await fleet.beat(fleet.members[0], {BTC.label: {"rate": 1.0, "gaps": 2, "resyncs": 1, "state": "live"}})
    [pair] = (await observe(fleet)).pairs
    assert (pair.gaps, pair.seams) == (2, 0)


async def test_a_dead_owners_pair_is_stale_although_its_hash_says_live(fleet_in_redis):
    await fleet_in_redis.make_live(BTC)
    await fleet_in_redis.kill_owner(BTC)
    [pair] = (await observe(fleet_in_redis)).pairs
    assert pair.status == "stale"
    assert pair.owner == fleet_in_redis.members[0]


async def test_a_pair_without_a_book_shows_what_members_say_of_it(fleet_in_redis):
    fleet = fleet_in_redis
    notes = {"okx:spot:FOO/USDT": {"state": "refused", "reason": "okx does not list FOO/USDT"}}
    await fleet.beat(fleet.members[0], notes)
    [pair] = (await observe(fleet)).pairs
    assert (pair.pair, pair.status, pair.reason) == ("FOO/USDT", "refused", "okx does not list FOO/USDT")
    assert (pair.owner, pair.epoch, pair.sequence, pair.age_ms) == (None, None, None, None)


async def test_nobody_can_call_a_pair_live_that_has_no_book(fleet_in_redis):
    fleet = fleet_in_redis
    await fleet.beat(fleet.members[0], {BTC.label: {"state": "live"}})
    [pair] = (await observe(fleet)).pairs
    assert pair.status == "missing"


async def test_the_owners_word_counts_before_a_standbys(fleet_in_redis):
    fleet = fleet_in_redis
    standby, owner = fleet.members
    await fleet.make_live(BTC, holder=owner)
    await fleet.beat(standby, {BTC.label: {"rate": 1.0, "gaps": 9}})
    await fleet.beat(owner, {BTC.label: {"rate": 5.0, "gaps": 1}})
    [pair] = (await observe(fleet)).pairs
    assert (pair.rate, pair.gaps) == (5.0, 1)


async def test_a_reset_pair_is_in_resync(fleet_in_redis):
    await fleet_in_redis.make_live(ETH)
    await fleet_in_redis.reset(ETH)
    [pair] = (await observe(fleet_in_redis)).pairs
    assert (pair.status, pair.sequence) == ("resync", None)


async def test_a_pair_its_owner_holds_in_quarantine_is_shown_as_such_and_a_standbys_word_is_not_asked(fleet_in_redis):
    fleet = fleet_in_redis
    owner, standby = fleet.members
    held = {"state": "quarantine", "reason": "quarantined, tried again in 9 s: lost 4 times"}
    await fleet.make_live(BTC, holder=owner)
    await fleet.make_live(ETH, holder=owner)
    await fleet.reset(ETH)
    await fleet.beat(owner, {BTC.label: {"state": "live"}, ETH.label: held})
    await fleet.beat(standby, {BTC.label: held})
    btc, eth = (await observe(fleet)).pairs
    assert (btc.status, btc.owner) == ("live", owner)
    assert (eth.status, eth.owner, eth.reason, eth.live) == ("quarantine", owner, held["reason"], False)
    await fleet.beat(owner, {BTC.label: held, ETH.label: held})
    assert [pair.status for pair in (await observe(fleet)).pairs] == ["quarantine"] * 2
    await fleet.kill_owner(ETH)
    assert [pair.status for pair in (await observe(fleet)).pairs] == ["quarantine", "stale"]


async def test_a_pair_of_the_past_is_not_shown(fleet_in_redis):
    fleet = fleet_in_redis
    await fleet.make_live(BTC)
    await fleet.kill_owner(BTC)
    await fleet.client.delete(fleet.keys.book(BTC), fleet.keys.bids(BTC), fleet.keys.asks(BTC))
    assert (await observe(fleet)).pairs == ()


async def test_the_trades_line_of_a_pair_is_no_pair_of_its_own(fleet_in_redis):
    fleet = fleet_in_redis
    await fleet.make_live(BTC)
    await fleet.client.hset(fleet.keys.tail(fleet.keys.shard(BTC)), BTC.label + "#trades", "1 1 - 0-0")
    assert [pair.key for pair in (await observe(fleet)).pairs] == [BTC]


async def test_the_steady_state_costs_one_round_trip(fleet_in_redis):
    fleet = fleet_in_redis
    await fleet.make_live(BTC)
    await fleet.beat(fleet.members[0])
    observer = Observer(fleet.client, fleet.keys)
    await observer.observe()
    assert observer.batches == 2
    await fleet.publish(BTC, delta(BTC, {"65000": "9"}, {}, 8))
    status = await observer.observe()
    assert observer.batches == 3
    assert status.pairs[0].sequence == 8
    await fleet.make_live(ETH)
    assert {pair.key for pair in (await observer.observe()).pairs} == {BTC, ETH}
    assert observer.batches == 5


async def test_a_member_that_left_is_gone_from_the_next_look(fleet_in_redis):
    fleet = fleet_in_redis
    for member in fleet.members:
        await fleet.beat(member)
    observer = Observer(fleet.client, fleet.keys)
    assert len((await observer.observe()).members) == 2
    await fleet.client.zrem(fleet.keys.members(), fleet.members[0])
    assert [member.id for member in (await observer.observe()).members] == [fleet.members[1]]


async def test_records_that_cannot_be_read_do_not_blind_the_operator(fleet_in_redis, caplog):
    fleet = fleet_in_redis
    for member in fleet.members:
        await fleet.beat(member)
    await fleet.client.set(fleet.keys.member(fleet.members[0]), "not json", px=60_000)
    await fleet.client.set(fleet.keys.pair_state(fleet.members[0]), json.dumps({"pairs": {"nonsense": {}}}), px=60_000)
    first, second = (await observe(fleet)).members
    assert (first.host, first.pid, first.version) == ("host-1", 1001, "unreadable")
    assert second.version == "0.1.0"
    assert fleet.members[0] in caplog.text


async def test_a_namespace_is_a_fleet_of_its_own(fleet_in_redis):
    fleet = fleet_in_redis
    await fleet.make_live(BTC)
    other = type(fleet.keys)("other", 16)
    assert (await Observer(fleet.client, other).observe()).pairs == ()
