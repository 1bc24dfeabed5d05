"""Key names: one slot for all keys of a pair, a prefix for a namespace, and no key that could be mistaken for another's.

fakeredis serves here: names and types are looked at, no script runs.
"""

import fakeredis
from hypothesis import given
from hypothesis import strategies as st

from books.loaded import LoadedBook
from books.store import load_book
from fleet.keys import Keys, is_permanent
from fleet.pair import Pair

PAIR = Pair("binance", "spot", "BTC/USDT")

pairs = st.builds(
    Pair,
    st.sampled_from(["binance", "okx"]),
    st.sampled_from(["spot", "futures"]),
    st.from_regex(r"[A-Z0-9]{1,8}/[A-Z]{3,5}", fullmatch=True),
)


def slot_tag(key: str) -> str:
    return key[key.index("{") + 1 : key.index("}")]


@given(pairs, st.integers(1, 100))
def test_all_keys_of_a_pair_share_a_slot_and_its_shards_streams_too(pair: Pair, shards: int) -> None:
    keys = Keys(shards=shards)
    shard = keys.shard(pair)
    assert 0 <= shard < shards
    named = [keys.book(pair), keys.bids(pair), keys.asks(pair), keys.lease(pair), keys.offer(pair)]
    named += [keys.tail(shard), keys.deltas(shard), keys.trades(shard)]
    assert {slot_tag(key) for key in named} == {f"{shard:02d}"}
    assert len(set(named)) == len(named)


def test_the_shard_of_a_pair_never_changes_between_versions() -> None:
    assert Keys(shards=16).book(PAIR) == "book:binance:spot:BTC/USDT:{15}"


def test_a_namespace_prefixes_every_key() -> None:
    keys = Keys("desk", 16)
    for key in (keys.book(PAIR), keys.tail(3), keys.leader(), keys.budget("host", "x:rest"), keys.lane_lease(1)):
        assert key.startswith("desk:")


def test_only_fences_streams_and_counters_live_for_ever() -> None:
    for keys in (Keys(), Keys("desk")):
        assert all(
            map(is_permanent, (keys.tail(3), keys.deltas(3), keys.trades(3), keys.layout(), keys.term(), keys.lanes()))
        )
        assert not any(
            map(is_permanent, (keys.book(PAIR), keys.bids(PAIR), keys.lease(PAIR), keys.leader(), keys.members()))
        )


async def test_a_book_that_is_not_there_is_missing() -> None:
    async with fakeredis.FakeAsyncRedis() as redis:
        found = await load_book(redis, Keys(), PAIR)
    assert isinstance(found, LoadedBook)
    assert (found.status, found.live, found.cell, found.age_ms) == ("missing", False, None, None)


async def test_a_book_without_a_lease_is_stale_whatever_it_says() -> None:
    keys = Keys()
    async with fakeredis.FakeAsyncRedis() as redis:
        await redis.hset(keys.book(PAIR), mapping={"status": "live", "n": "7", "id": "1-1", "epoch": "5", "bid": "1"})
        await redis.hset(keys.bids(PAIR), mapping={"1": "2"})
        await redis.hset(keys.tail(keys.shard(PAIR)), PAIR.label, "5 7 - 1-1")
        assert (await load_book(redis, keys, PAIR)).status == "stale"
        await redis.set(keys.lease(PAIR), "5 somebody", px=60_000)
        live = await load_book(redis, keys, PAIR)
    assert (live.status, live.live, dict(live.bids), live.n) == ("live", True, {"1": "2"}, 7)
