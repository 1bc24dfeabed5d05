"""Events to a real Redis: many pairs a call, one call a shard at a time, and what stops a line."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from books.book import Book
from books.events import Delta, Mark, Reset, ResetReason, Snapshot, SnapshotReason
from books.sequence import CONTIGUOUS
from books.store import load_book
from feeds.outbox import Phase
from feeds.publisher import Publisher
from feeds.source import NO_BOOK, Source
from feeds.warm import Continuity
from fleet import clock
from fleet.cell import Cell
from fleet.keys import Keys
from fleet.lease import pair_target
from fleet.ordered import OrderedConnection
from fleet.pair import Pair
from fleet.scripts import Granted, acquire

KEYS = Keys(shards=1)
BTC, ETH = Pair("somewhere", "spot", "BTC/USDT"), Pair("somewhere", "spot", "ETH/USDT")
TTL_MS = 10_000


class Desk:
    """A publisher, the books that feeds would hold, and the doubts it told."""

    def __init__(self, connection: OrderedConnection) -> None:
        self.connection = connection
        self.books: dict[Pair, Book] = {}
        self.doubts: list[tuple[Pair, str]] = []
        self.publisher = Publisher(
            connection, KEYS, book_ttl_ms=TTL_MS, owner="me", books=self.source,
            on_doubt=lambda pair, reason: self.doubts.append((pair, reason)), wall_us=clock.wall_us,
            on_fault=lambda pair, reason: self.faults.append((pair, reason)),
        )  # fmt: skip
        self.faults: list[tuple[Pair, str]] = []
        self.poison: set[Pair] = set()

    def source(self, pair: Pair) -> Source:
        if pair in self.poison:
            raise ZeroDivisionError("for the test")
        return Source(self.books[pair], 1) if pair in self.books else NO_BOOK

    async def own(self, pair: Pair, holder: str = "me") -> Granted:
        target = pair_target(KEYS, pair)
        await self.connection.call(b"*2\r\n$3\r\nDEL\r\n$%d\r\n%s\r\n" % (len(target.lease), target.lease.encode()))
        granted = await acquire(
            self.connection, tail=target.tail, lease=target.lease, offer=target.offer, holder=holder, ttl_ms=60_000,
            floor=0, fields=target.fields,
        )  # fmt: skip
        assert isinstance(granted, Granted)
        return granted

    async def open(self, pair: Pair) -> None:
        self.publisher.open(pair, "full", trades=False)
        await self.grant(pair)

    async def grant(self, pair: Pair) -> None:
        granted = await self.own(pair)
        self.publisher.granted(pair, granted.token, granted.cells, granted.n)

    def say(self, event: Snapshot | Delta | Reset) -> None:
        self.books.setdefault(event.pair, Book()).apply(event)
        self.publisher.add(event)

    def line(self, pair: Pair):
        outbox = self.publisher.outbox(pair)
        assert outbox is not None
        return outbox


def snapshot(pair: Pair) -> Snapshot:
    return Snapshot(
        pair=pair, received_us=clock.wall_us(), bids={"1": "1"}, asks={"9": "1"}, reason=SnapshotReason.FIRST,
        sequence=1,
    )  # fmt: skip


def delta(pair: Pair, amount: int) -> Delta:
    return Delta(pair=pair, received_us=clock.wall_us(), bids={"1": str(amount)}, asks={}, sequence=amount)


@pytest.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    """Both pairs open, their first snapshots published."""
    connection = OrderedConnection(redis_url)
    await connection.connect()
    made = Desk(connection)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.publisher.run())
        for pair in (BTC, ETH):
            await made.open(pair)
            made.say(snapshot(pair))
        await made.publisher.flushed()
        yield made
        task.cancel()
    await connection.close()


async def entries(redis) -> list[tuple[str, int]]:
    found = await redis.xrange(KEYS.deltas(0))
    return [(fields[b"k"].decode().rpartition(":")[2], int(fields[b"n"])) for _, fields in found]


async def test_what_comes_within_a_tick_goes_in_one_call(desk, redis):
    calls, lines, events = desk.publisher.calls, desk.publisher.lines, desk.publisher.events
    for amount in (2, 3, 4):
        desk.say(delta(BTC, amount))
        desk.say(delta(ETH, amount))
    assert desk.publisher.waiting == 6
    await desk.publisher.flushed()
    assert (desk.publisher.calls - calls, desk.publisher.lines - lines, desk.publisher.events - events) == (1, 2, 6)
    assert desk.publisher.waiting == 0
    for pair in (BTC, ETH):
        book = await load_book(redis, KEYS, pair)
        assert (book.live, dict(book.bids), book.n) == (True, {"1": "4"}, desk.line(pair).n)


async def test_how_long_events_took_can_be_asked_once(desk):
    desk.publisher.take_lags()
    desk.say(delta(BTC, 2))
    await desk.publisher.flushed()
    [lag_ms] = desk.publisher.take_lags()
    assert 0 < lag_ms < 60_000
    assert desk.publisher.take_lags() == []


async def test_events_of_a_pair_that_is_not_open_are_dropped(desk, redis):
    before = await entries(redis)
    desk.publisher.add(delta(Pair("somewhere", "spot", "SOL/USDT"), 2))
    desk.publisher.close(ETH)
    desk.publisher.add(delta(ETH, 2))
    desk.say(delta(BTC, 2))
    await desk.publisher.flushed()
    assert len(await entries(redis)) == len(before) + 1


async def test_a_fenced_line_stops_and_tells_once_and_the_others_go_on(desk, redis):
    await desk.own(BTC, holder="another")
    before = await entries(redis)
    desk.say(delta(BTC, 2))
    desk.say(delta(ETH, 2))
    await desk.publisher.flushed()
    desk.say(delta(BTC, 3))
    desk.say(delta(ETH, 3))
    await desk.publisher.flushed()
    assert [name for name, _ in (await entries(redis))[len(before) :]] == ["ETH/USDT", "ETH/USDT"]
    [(pair, reason)] = desk.doubts
    assert (pair, reason.startswith("FENCED: the tail stands at ")) == (BTC, True)
    assert desk.line(BTC).phase is Phase.DOUBTFUL
    assert desk.publisher.refusals == 1


async def test_an_answer_that_comes_after_a_new_grant_changes_nothing(desk, redis, caplog):
    caplog.set_level("INFO")
    await desk.own(BTC, holder="another")
    desk.say(delta(BTC, 2))
    send = desk.connection.send
    answered = asyncio.Event()

    async def late(future):
        answer = await future
        await answered.wait()
        return answer

    async with asyncio.TaskGroup() as group:
        # the refusal is on its way back while the line is granted anew
        desk.connection.send = lambda packed: group.create_task(late(send(packed)))
        calls = desk.publisher.calls
        while desk.publisher.calls == calls:
            await asyncio.sleep(0)
        desk.connection.send = send
        desk.publisher.doubt(BTC)
        await desk.grant(BTC)
        token = desk.line(BTC).token
        answered.set()
        await desk.publisher.flushed()
    assert desk.doubts == []
    assert desk.line(BTC).token == token
    assert (desk.publisher.refusals, "a late write was refused: FENCED" in caplog.text) == (1, True)


async def test_a_lost_connection_puts_every_line_in_doubt_and_nothing_is_lost(desk, redis, wait_until):
    [cut] = [one["id"] for one in await redis.client_list() if one["name"] == desk.connection.name]
    await redis.client_kill_filter(_id=cut)
    await wait_until(lambda: not desk.connection.connected, "the loss to be seen")
    desk.publisher.doubt_all("the connection was lost")
    assert {pair for pair, _ in desk.doubts} == {BTC, ETH}
    before = await entries(redis)
    desk.say(delta(BTC, 2))
    await desk.connection.connect()
    assert await entries(redis) == before
    await desk.grant(BTC)
    await desk.publisher.flushed()
    assert [name for name, _ in (await entries(redis))[len(before) :]] == ["BTC/USDT"]
    assert (await load_book(redis, KEYS, BTC)).bids == {"1": "2"}


async def test_levels_that_expired_are_written_whole_again(desk, redis, wait_until):
    desk.say(Delta(pair=BTC, received_us=1, bids={"2": "5"}, asks={"8": "5"}, sequence=2))
    await desk.publisher.flushed()
    await redis.delete(KEYS.book(BTC), KEYS.bids(BTC), KEYS.asks(BTC))
    desk.say(delta(BTC, 7))
    await desk.publisher.flushed()

    async def whole():
        book = await load_book(redis, KEYS, BTC)
        return book.live and (dict(book.bids), dict(book.asks)) == ({"1": "7", "2": "5"}, {"9": "1", "8": "5"})

    await wait_until(whole, "the whole book")


async def test_a_touch_keeps_a_quiet_book_and_brings_back_one_that_expired(desk, redis, wait_until):
    await redis.pexpire(KEYS.book(BTC), 1000)
    before = await load_book(redis, KEYS, BTC)
    await wait_until(lambda: clock.wall_ms() > before.checked_ms, "the next millisecond")
    await desk.publisher.touch([BTC, ETH])
    assert await redis.pttl(KEYS.book(BTC)) > 1000
    after = await load_book(redis, KEYS, BTC)
    assert (after.n, after.published_ms, after.checked_ms > before.checked_ms) == (before.n, before.published_ms, True)
    await redis.delete(KEYS.book(BTC), KEYS.bids(BTC), KEYS.asks(BTC))
    await desk.publisher.touch([BTC])

    async def back():
        book = await load_book(redis, KEYS, BTC)
        return book.live and book.n == before.n

    await wait_until(back, "the book without a new entry")


async def test_a_fenced_touch_puts_the_line_in_doubt(desk):
    await desk.own(BTC, holder="another")
    await desk.publisher.touch([BTC, ETH])
    assert [pair for pair, _ in desk.doubts] == [BTC]
    await desk.publisher.touch([BTC, ETH])
    assert len(desk.doubts) == 1


async def test_a_mark_changes_no_level(desk, redis):
    before = await load_book(redis, KEYS, BTC)
    desk.publisher.add(Mark(pair=BTC, received_us=clock.wall_us()))
    await desk.publisher.flushed()
    after = await load_book(redis, KEYS, BTC)
    assert (after.n, after.bids, after.asks) == (before.n + 1, before.bids, before.asks)


async def test_a_reset_empties_the_book_until_its_snapshot(desk, redis):
    desk.say(Reset(pair=BTC, received_us=1, reason=ResetReason.GAP))
    await desk.publisher.flushed()
    emptied = await load_book(redis, KEYS, BTC)
    assert (emptied.status, emptied.bids, emptied.asks) == ("resync", {}, {})
    desk.say(snapshot(BTC))
    await desk.publisher.flushed()
    assert (await load_book(redis, KEYS, BTC)).live


async def test_a_line_that_cannot_be_taken_costs_its_pair_alone(desk, redis, wait_until, caplog):
    await desk.publisher.flushed()
    desk.poison.add(BTC)
    desk.say(delta(BTC, 2))
    desk.say(delta(ETH, 2))
    await wait_until(lambda: desk.faults, "the fault to be told")
    [(pair, reason)] = desk.faults
    assert (pair, "ZeroDivisionError: for the test" in reason) == (BTC, True)
    await wait_until(lambda: not desk.line(ETH).waiting, "the other pair to be published")
    assert (await load_book(redis, KEYS, ETH)).bids == {"1": "2"}
    desk.poison.clear()
    del desk.books[BTC]
    desk.publisher.add(Reset(pair=BTC, received_us=1, reason=ResetReason.UNSUBSCRIBED))  # the pair is held
    await desk.publisher.flushed()
    assert (await load_book(redis, KEYS, BTC)).status == "resync"


COMPARABLE = Continuity(CONTIGUOUS, comparable=True, images=False)


async def forgotten(desk: Desk, redis) -> Cell:
    """BTC starts over at the venue's sequence it stood at, and a failover loses that: the cell as it was before."""
    before = await redis.hget(KEYS.tail(0), BTC.label)
    desk.say(Reset(pair=BTC, received_us=clock.wall_us(), reason=ResetReason.TAKEOVER))
    desk.say(snapshot(BTC))
    await desk.publisher.flushed()
    assert Cell.parse(await redis.hget(KEYS.tail(0), BTC.label)).sequence == Cell.parse(before).sequence
    await redis.hset(KEYS.tail(0), BTC.label, before)
    return Cell.parse(before)


async def test_an_owner_whose_words_redis_forgot_starts_over_although_the_sequence_is_the_same(desk, redis):
    """The lost words may be in history: a Reset without its Snapshot, behind which deltas alone would make no book."""
    await forgotten(desk, redis)
    known = await redis.xlen(KEYS.deltas(0))
    desk.publisher.doubt(BTC)
    line = desk.publisher.unpublished(BTC, COMPARABLE)
    assert line is not None
    granted = await desk.own(BTC)
    desk.publisher.granted(BTC, granted.token, granted.cells, granted.n, line)
    await desk.publisher.flushed()
    told = await redis.xrange(KEYS.deltas(0))
    assert [fields[b"t"] for _, fields in told[known:]] == [b"reset", b"snapshot"]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_former_owner_that_stays_warm_knows_what_redis_forgot(desk, redis, whole):
    cell = await forgotten(desk, redis)
    if not whole:
        desk.say(Reset(pair=BTC, received_us=clock.wall_us(), reason=ResetReason.GAP))
        await desk.publisher.flushed()
        assert desk.publisher.unpublished(BTC, COMPARABLE) is None
    line = desk.publisher.lingering(BTC, COMPARABLE)
    assert line is not None
    assert line.live
    assert not line.covers(cell)
