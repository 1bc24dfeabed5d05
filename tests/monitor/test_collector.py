"""Stream entries become history: all of them, once, and a book can be made of it again."""

import asyncio
from collections.abc import Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from books.events import Delta, Mark, SnapshotReason
from books.wire import decode, encode
from fleet.keys import Keys
from fleet.pair import Pair
from monitor.batch import Batch
from monitor.clickhouse import ClickHouse, create_schema
from monitor.collector import FLUSH_MS, Collector, Turn
from monitor.group import GROUP, StreamGroup
from monitor.history import counts, entry_counts, gaps, rebuild
from monitor.rows import prepare
from tests.monitor.conftest import FIRST_N, RECEIVED_US, FeedWriter

BTC = Pair("binance", "spot", "BTC/USDT")


async def pending(redis: Redis, keys: Keys) -> int:
    streams = [stream for shard in range(keys.shards) for stream in (keys.deltas(shard), keys.trades(shard))]
    return sum([(await redis.xpending(stream, GROUP))["pending"] for stream in streams])


async def feed_rows(history: ClickHouse, kind: str) -> list[tuple[str, int, int, int, int, str]]:
    rows = await history.query(
        "SELECT pair, epoch, n, from_n, to_n, reason FROM feed_events WHERE kind = %(kind)s ORDER BY pair, epoch, n",
        {"kind": kind},
    )
    return list(rows)


async def test_history_of_forty_pairs_equals_the_streams_and_their_books(redis, keys, feed, pairs, history, collect):
    await feed.play(pairs, 4000)
    collector = await collect()
    assert await entry_counts(history) == feed.entries
    rows = await counts(history)
    empty = (await history.query("SELECT count() FROM feed_events WHERE kind = 'delta'"))[0][0]
    assert rows["orderbook_deltas"] == feed.written["levels"]
    assert rows["orderbook_snapshots"] == feed.written["snapshot"]
    assert rows["feed_events"] - empty == feed.written["reset"] + feed.written["mark"]
    assert rows["trades"] == feed.written["trade"]
    assert rows["bbo"] == feed.written["bbo"]
    for pair in pairs:
        rebuilt = await rebuild(history, pair)
        assert rebuilt is not None
        assert rebuilt.bids == feed.books[pair].bids
        assert rebuilt.asks == feed.books[pair].asks
        assert rebuilt.n == feed.n["deltas", pair]
    assert await gaps(history) == []
    assert await pending(redis, keys) == 0
    assert collector.stats.rows == {name: count for name, count in rows.items() if count}


async def test_a_single_frame_is_stored_without_waiting_for_more(feed, history, make_collector, running, wait_until):
    async with running(make_collector()) as collector:
        await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
        await wait_until(lambda: collector.stats.entries == 1, "the collector to be at work")
        for amount in ("1", "2", "3"):
            await feed.write(Delta(pair=BTC, received_us=RECEIVED_US, bids={"65000": amount}, asks={}))

            async def visible(amount: str = amount) -> bool:
                rows = await history.query(
                    "SELECT count() FROM orderbook_deltas WHERE amount_text = %(a)s", {"a": amount}
                )
                return bool(rows[0][0])

            await wait_until(visible, "the row")
    assert FLUSH_MS <= 500  # and a read and an insert: well within the second that is promised


async def test_a_crash_between_insert_and_acknowledgement_stores_nothing_twice(
    redis, keys, feed, pairs, history, make_collector, collect, monkeypatch
):
    await feed.play(pairs, 500)

    async def crash(*_args: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as dying:
        dying.setattr(StreamGroup, "acknowledge", crash)
        with pytest.raises(asyncio.CancelledError):
            await make_collector().run()
    stored = await counts(history)
    assert stored["orderbook_deltas"] > 0
    assert await pending(redis, keys) == sum((await entry_counts(history)).values())
    await feed.play(pairs, 100)
    collector = await collect()
    assert collector.stats.repeated > 0
    assert await entry_counts(history) == feed.entries
    assert (await counts(history))["orderbook_deltas"] == feed.written["levels"]
    assert (await counts(history))["orderbook_snapshots"] == feed.written["snapshot"]
    assert await gaps(history) == []


async def test_a_crash_between_two_tables_stores_the_rest_and_nothing_twice(
    feed, pairs, history, make_collector, collect, monkeypatch
):
    await feed.play(pairs, 300)
    insert = ClickHouse.insert

    async def crash_at_deltas(self: ClickHouse, table: str, *rest: object) -> None:
        if table == "orderbook_deltas":
            raise asyncio.CancelledError
        await insert(self, table, *rest)

    with monkeypatch.context() as dying:
        dying.setattr(ClickHouse, "insert", crash_at_deltas)
        with pytest.raises(asyncio.CancelledError):
            await make_collector().run()
    assert (await counts(history))["orderbook_snapshots"] > 0
    assert (await counts(history))["orderbook_deltas"] == 0
    await collect()
    assert await entry_counts(history) == feed.entries
    assert (await counts(history))["orderbook_deltas"] == feed.written["levels"]
    assert (await counts(history))["orderbook_snapshots"] == feed.written["snapshot"]


async def test_an_insert_whose_answer_was_lost_is_not_doubled(feed, pairs, history, collect, monkeypatch):
    await feed.play(pairs, 300)
    insert, lost = ClickHouse.insert, []

    async def lose_first_answers(self: ClickHouse, table: str, *rest: object) -> None:
        await insert(self, table, *rest)
        if table not in lost:
            lost.append(table)
            await insert(self, table, *rest)  # what the retry does: the same block under the same token

    monkeypatch.setattr(ClickHouse, "insert", lose_first_answers)
    await collect()
    assert "orderbook_deltas" in lost
    assert await entry_counts(history) == feed.entries
    assert (await counts(history))["orderbook_deltas"] == feed.written["levels"]


async def test_a_redis_error_at_the_acknowledgement_is_survived(feed, pairs, history, make_collector, running, wait_until, monkeypatch):  # fmt: skip # noqa: E501
    acknowledge, failures = StreamGroup.acknowledge, []

    async def fail_once(self: StreamGroup, ids: object) -> None:
        if not failures:
            failures.append(1)
            raise RedisConnectionError("connection lost")
        await acknowledge(self, ids)

    monkeypatch.setattr(StreamGroup, "acknowledge", fail_once)
    await feed.play(pairs, 200)
    async with running(make_collector()) as collector:
        await wait_until(lambda: collector.stats.entries == sum(feed.entries.values()), "all to be acknowledged")
    assert await entry_counts(history) == feed.entries
    assert (await counts(history))["orderbook_deltas"] == feed.written["levels"]


async def test_clickhouse_may_go_and_come_back(redis, keys, feed, pairs, own_clickhouse, make_collector, running, wait_until):  # fmt: skip # noqa: E501
    server = await own_clickhouse()
    await create_schema(server.url)
    async with running(make_collector(clickhouse=ClickHouse(server.url))) as collector:
        await feed.play(pairs, 300)
        await wait_until(lambda: collector.stats.entries == sum(feed.entries.values()), "the first to be stored")
        await server.kill()
        await feed.play(pairs, 300)
        await wait_until(lambda: collector.stats.outage, "the outage to be noticed")
        assert "connection refused" in collector.stats.outage
        assert await pending(redis, keys) > 0
        await server.start()
        await wait_until(lambda: collector.stats.entries == sum(feed.entries.values()), "the rest", timeout_s=30)
        assert collector.stats.outage == ""
    async with ClickHouse(server.url) as history:
        assert await entry_counts(history) == feed.entries
        assert (await counts(history))["orderbook_deltas"] == feed.written["levels"]
        assert await gaps(history) == []
    assert await pending(redis, keys) == 0


async def test_without_clickhouse_at_the_start_nothing_is_read(redis, keys, feed, free_port, make_collector, running, wait_until):  # fmt: skip # noqa: E501
    await feed.play([BTC], 10)
    nowhere = ClickHouse(f"clickhouse://default:@127.0.0.1:{free_port()}/default")
    async with running(make_collector(clickhouse=nowhere)) as collector:
        await wait_until(lambda: collector.stats.outage, "the outage to be noticed")
    assert await pending(redis, keys) == 0


async def test_finishing_with_clickhouse_away_returns_at_once(feed, free_port, make_collector):
    await feed.play([BTC], 10)
    collector = make_collector(clickhouse=ClickHouse(f"clickhouse://default:@127.0.0.1:{free_port()}/default"))
    collector.finish()
    async with asyncio.timeout(5):
        await collector.run()
    assert collector.stats.entries == 0


async def test_entries_trimmed_before_they_were_read_are_a_gap(redis, keys, feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    await collect()
    await feed.write(*[feed.delta(BTC) for _ in range(10)])
    await redis.xtrim(keys.deltas(keys.shard(BTC)), maxlen=4, approximate=False)
    collector = await collect()
    assert await gaps(history) == [(BTC, FIRST_N + 2, FIRST_N + 7, "hole")]
    assert collector.stats.holes == 1


async def test_entries_trimmed_while_pending_are_noted_and_acknowledged(redis, keys, feed, history, make_collector, collect, monkeypatch):  # fmt: skip # noqa: E501
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), feed.delta(BTC), feed.delta(BTC))
    with monkeypatch.context() as dying:
        dying.setattr(ClickHouse, "insert", _cancelled)
        with pytest.raises(asyncio.CancelledError):
            await make_collector().run()
    await redis.xtrim(keys.deltas(keys.shard(BTC)), maxlen=1, approximate=False)
    collector = await collect()
    assert collector.stats.trimmed == 2
    assert [gap.reason for gap in await gaps(history)] == ["trimmed", "trimmed"]
    assert await pending(redis, keys) == 0


async def _cancelled(*_args: object) -> None:
    raise asyncio.CancelledError


async def test_a_failover_that_lost_a_tail_is_a_fork_and_the_new_branch_counts(feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), *[feed.delta(BTC) for _ in range(5)])
    await collect()
    feed.epoch[BTC] = FIRST_N + 1000
    await feed.write(feed.snapshot(BTC, SnapshotReason.TAKEOVER), n=FIRST_N + 4)
    await feed.write(*[feed.delta(BTC) for _ in range(3)])
    await collect()
    assert await feed_rows(history, "fork") == [
        ("BTC/USDT", FIRST_N + 1000, FIRST_N + 4, FIRST_N + 4, FIRST_N + 6, "")
    ]  # fmt: skip
    assert await gaps(history) == []
    rebuilt = await rebuild(history, BTC)
    assert rebuilt == (feed.books[BTC].bids, feed.books[BTC].asks, FIRST_N + 7)


async def test_a_numbering_that_starts_anew_is_a_gap_by_name(feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    await collect()
    feed.epoch[BTC] = FIRST_N + 5000
    await feed.write(feed.snapshot(BTC, SnapshotReason.TAKEOVER), n=FIRST_N + 5001)
    await collect()
    assert await gaps(history) == [(BTC, FIRST_N + 2, FIRST_N + 5000, "flush")]


async def test_entries_nobody_can_read_are_kept_as_they_came_and_hold_nothing_up(redis, keys, feed, history, collect):
    stream = keys.deltas(keys.shard(BTC))
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    await redis.xadd(stream, {"k": BTC.label, "t": "delta", "n": FIRST_N + 2, "e": FIRST_N, "d": b"\x91\x63"})
    await redis.xadd(stream, {"hello": "world"})
    kind, payload = encode(Delta(pair=BTC, received_us=RECEIVED_US, bids={"abc": "1"}, asks={}))
    await redis.xadd(stream, {"k": BTC.label, "t": kind, "n": FIRST_N + 2, "e": FIRST_N, "d": payload})
    await feed.write(feed.delta(BTC))
    collector = await collect()
    assert collector.stats.undecodable == 3
    details = [row[0] for row in await history.query("SELECT detail FROM feed_events WHERE kind = 'undecodable' ORDER BY id_ms, id_seq")]  # fmt: skip # noqa: E501
    assert "wire version" in details[0]
    assert "hello" in details[1]
    assert "abc" in details[2]
    assert (await counts(history))["orderbook_snapshots"] == 1
    assert (await rebuild(history, BTC)).n == FIRST_N + 2
    assert await pending(redis, keys) == 0


async def test_entries_given_to_a_woken_former_owner_are_found(redis, keys, feed, history, make_collector, running, wait_until):  # fmt: skip # noqa: E501
    async with running(make_collector()) as collector:
        await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
        await wait_until(lambda: collector.stats.entries == 1, "the first entry")
        former = StreamGroup(redis, [keys.deltas(keys.shard(BTC))], "lane-0")
        pipe = redis.pipeline(transaction=True)  # the former owner is given the delta before the collector reads again
        feed._pipe = pipe
        feed.put(feed.delta(BTC))
        pipe.xreadgroup(GROUP, "lane-0", {former.streams[0]: ">"})
        await pipe.execute()
        feed._pipe = redis.pipeline(transaction=False)
        await feed.write(feed.delta(BTC))
        await wait_until(lambda: collector.stats.entries == 3, "all entries")
    assert await gaps(history) == []
    assert await entry_counts(history) == feed.entries


async def test_entries_pending_for_another_consumer_are_taken_over(redis, keys, feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), feed.delta(BTC))
    other = StreamGroup(redis, [keys.deltas(keys.shard(BTC))], "lane-7")
    await other.ensure()
    await other.read_new()
    await collect()
    assert await entry_counts(history) == feed.entries
    assert await pending(redis, keys) == 0


async def test_a_flushed_redis_is_joined_again(redis, feed, history, make_collector, running, wait_until):
    async with running(make_collector()) as collector:
        await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
        await wait_until(lambda: collector.stats.entries == 1, "the first entry")
        await redis.flushall()
        feed.epoch[BTC] = FIRST_N + 5000
        await feed.write(Mark(pair=BTC, received_us=RECEIVED_US), n=FIRST_N + 5001)
        await wait_until(lambda: collector.stats.entries == 2, "the entry after the flush")
    assert [gap.reason for gap in await gaps(history)] == ["flush"]


async def test_ids_that_come_again_after_a_flush_hide_nothing(
    redis, feed, history, make_collector, running, wait_until
):
    async with running(make_collector()) as collector:
        await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), entry_id="1763000000000-7")
        await wait_until(lambda: collector.stats.entries == 1, "the first entry")
        await redis.flushall()  # and its clock is behind what it was: the same id again, and a lower one before it
        feed.epoch[BTC] = FIRST_N + 5000
        await feed.write(Mark(pair=BTC, received_us=RECEIVED_US), n=FIRST_N + 5001, entry_id="1763000000000-3")
        await wait_until(lambda: collector.stats.entries == 2, "the entry of a lower id")
        await feed.write(feed.snapshot(BTC, SnapshotReason.TAKEOVER), entry_id="1763000000000-7")
        await wait_until(lambda: collector.stats.entries == 3, "the entry of the same id")
    assert await entry_counts(history) == {BTC: 3}
    assert (await counts(history))["orderbook_snapshots"] == 2


async def test_acknowledgements_and_a_tail_lost_in_a_failover_double_nothing(
    own_failover, keys, history, clickhouse_url, wait_until
):
    servers = await own_failover()
    async with (
        Redis.from_url(servers.url) as before, Redis.from_url(servers.url) as used, Redis.from_url(servers.url) as after,
        ClickHouse(clickhouse_url) as clickhouse, asyncio.TaskGroup() as tasks,
    ):  # fmt: skip
        collector = Collector(0, range(keys.shards), redis=used, keys=keys, clickhouse=clickhouse)
        await StreamGroup(before, [keys.deltas(s) for s in range(keys.shards)], "lane-0").ensure()
        old, new = FeedWriter(before, keys), FeedWriter(after, keys, seed=2)
        await old.write(old.snapshot(BTC, SnapshotReason.FIRST), *[old.delta(BTC) for _ in range(5)])
        await servers.stop_copying()  # lost is what comes now: who read the six, that they are stored, and four more
        collecting = tasks.create_task(collector.run())
        await wait_until(lambda: collector.stats.entries == 6, "the entries that survive")
        await old.write(*[old.delta(BTC) for _ in range(4)])
        await wait_until(lambda: collector.stats.entries == 10, "the tail that will be lost")
        await servers.fail_over()
        new.epoch[BTC] = FIRST_N + 1000
        await new.write(new.snapshot(BTC, SnapshotReason.TAKEOVER), n=FIRST_N + 7)
        await new.write(*[new.delta(BTC) for _ in range(6)])
        await wait_until(lambda: collector.stats.entries == 23, "the six again, and the new branch")
        collecting.cancel()
    assert collector.stats.repeated == 6
    assert await entry_counts(history) == {BTC: 17}
    assert (await counts(history))["orderbook_deltas"] == old.written["levels"] + new.written["levels"]
    assert (await counts(history))["orderbook_snapshots"] == 2
    assert await feed_rows(history, "fork") == [
        ("BTC/USDT", FIRST_N + 1000, FIRST_N + 7, FIRST_N + 7, FIRST_N + 10, "")
    ]  # fmt: skip
    assert await gaps(history) == []
    rebuilt = await rebuild(history, BTC)
    assert rebuilt == (new.books[BTC].bids, new.books[BTC].asks, FIRST_N + 13)


@pytest.mark.parametrize("dies_at", ["feed_events", "orderbook_snapshots", "orderbook_deltas"])
async def test_a_crash_before_or_behind_a_finding_leaves_it_noted_once(
    dies_at, feed, history, make_collector, collect, monkeypatch
):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    await collect()
    feed.epoch[BTC] = FIRST_N + 5000
    await feed.write(feed.snapshot(BTC, SnapshotReason.TAKEOVER), n=FIRST_N + 5001)
    await feed.write(feed.delta(BTC))
    insert = ClickHouse.insert

    async def die(self: ClickHouse, table: str, *rest: object) -> None:
        if table == dies_at:
            raise asyncio.CancelledError
        await insert(self, table, *rest)

    with monkeypatch.context() as dying:
        dying.setattr(ClickHouse, "insert", die)
        with pytest.raises(asyncio.CancelledError):
            await make_collector().run()
    await collect()
    assert await gaps(history) == [(BTC, FIRST_N + 2, FIRST_N + 5000, "flush")]
    assert await entry_counts(history) == {BTC: 3}


async def test_a_fork_names_also_what_the_former_collector_was_still_storing(
    keys, feed, history, make_collector, collect, monkeypatch
):
    """Redis failed over and forgot the lane's lease too: the next collector begins while an insert is under way."""
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    await collect()
    stream, label = keys.deltas(keys.shard(BTC)), f"deltas:{keys.shard(BTC):02d}"
    await feed.write(feed.delta(BTC))
    [(entry_id, fields)] = await feed.redis.xrevrange(stream, count=1)
    await feed.redis.xdel(stream, entry_id)
    feed.epoch[BTC] = FIRST_N + 50
    await feed.write(feed.snapshot(BTC, SnapshotReason.TAKEOVER), n=FIRST_N + 2)
    pause, waits = Collector._pause, []

    async def late(self: Collector, seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            batch = Batch()
            batch.add(label, entry_id.decode(), prepare(decode(entry_id, fields), label))
            [block] = batch.blocks()
            table = block.rows.table
            await history.insert(table.name, table.names, block.rows.columns, block.token)
            return
        await pause(self, seconds)

    with monkeypatch.context() as patched:
        patched.setattr(Collector, "_pause", late)
        successor = make_collector(turn=Turn(wait_ms=6000))
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            running = group.create_task(successor.run())
            while not successor.stats.forks:
                assert not running.done()
                await asyncio.sleep(0.01)
            successor.finish()
    assert waits[0] == 6
    assert await feed_rows(history, "fork") == [("BTC/USDT", FIRST_N + 50, FIRST_N + 2, FIRST_N + 2, FIRST_N + 2, "")]
    assert await entry_counts(history) == {BTC: 3}


async def test_an_empty_database_is_not_waited_for_nor_is_any_when_finishing(feed, history, make_collector):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    for stored in ({BTC: 1}, {BTC: 1}):
        collector = make_collector(turn=Turn(wait_ms=600_000))
        collector.finish()
        async with asyncio.timeout(60):
            await collector.run()
        assert await entry_counts(history) == stored
        await feed.write(feed.delta(BTC))  # stays in Redis: whoever is told to finish does not wait


async def test_a_cancelled_collector_ends_the_batch_under_way(feed, history, make_collector, collect, monkeypatch):
    """A flush takes the lease too: with half a batch the rest would be gone from Redis, and no row would say so."""
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), feed.delta(BTC), Mark(pair=BTC, received_us=RECEIVED_US))
    insert, begun, go_on = ClickHouse.insert, asyncio.Event(), asyncio.Event()

    async def slow(self: ClickHouse, *rest: object) -> None:
        begun.set()
        await go_on.wait()
        await insert(self, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(ClickHouse, "insert", slow)
        running = asyncio.ensure_future(make_collector(turn=Turn(grace_ms=60_000)).run())
        await begun.wait()
        running.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await entry_counts(history) == {BTC: 3}
    await collect()
    assert await entry_counts(history) == {BTC: 3}
    assert await counts(history) == {
        "orderbook_snapshots": 1, "orderbook_deltas": 8, "feed_events": 1, "trades": 0, "bbo": 0,
    }  # fmt: skip


async def test_a_collector_whose_turn_is_over_stores_nothing(feed, history, make_collector, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    async with asyncio.timeout(60):
        await make_collector(turn=Turn(is_ours=lambda: False)).run()
    assert await entry_counts(history) == {}
    await collect()
    assert await entry_counts(history) == {BTC: 1}


def test_a_collector_says_which_lane_it_is(make_collector: Callable[..., Collector]):
    assert "lane 3" in repr(make_collector(3))
