"""Claims of daemons on a real Redis: who gets a pair, who keeps it, how it is given back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from books.events import Reset, ResetReason, Snapshot, SnapshotReason, Trade
from books.sequence import CONTIGUOUS
from books.store import load_book
from feeds.outbox import Phase
from feeds.ownership import LEAVE_MS, LINGER, Ownership
from feeds.publisher import Publisher
from feeds.source import NO_BOOK
from feeds.warm import Continuity
from fleet import clock
from fleet.assignment import ranking
from fleet.keys import Keys
from fleet.lease import LeaseKeeper, LossReason, trades_field
from fleet.ordered import OrderedConnection
from fleet.pair import Pair
from fleet.tasks.model import Wanted
from tests.support.clients import redis_client

BTC, ETH, SOL = (Pair("somewhere", "spot", f"{base}/USDT") for base in ("BTC", "ETH", "SOL"))
KEYS = Keys(shards=2)
LEASE_MS = 60_000  # nobody renews here
MEMBERS = ("host:1:a", "host:2:b")


def wanted(*pairs: Pair, depth: str = "full", channels: tuple[str, ...] = ("book",)) -> list[Wanted]:
    return [Wanted(pair=pair, depth=depth, channels=frozenset(channels), priority=1, traded=False) for pair in pairs]


class Daemon:
    """One daemon's claims; its feeds are a list of what was asked of them."""

    def __init__(self, client: redis.asyncio.Redis, connection: OrderedConnection, me: str, capacity: int) -> None:
        self.asked: list[tuple[str, Pair]] = []
        self.priorities: dict[Pair, int] = {}
        self.now_ms = clock.mono_ms()
        self.members = [me]
        self.connection = connection
        self.leases = LeaseKeeper(
            client, holder=me, lease_ms=LEASE_MS, mono_ms=clock.mono_ms,
            on_lost=lambda lease, reason: self.ownership.on_lease_lost(lease, reason),
        )  # fmt: skip
        self.publisher = Publisher(
            connection, KEYS, book_ttl_ms=60_000, owner=me, books=lambda pair: NO_BOOK,
            on_doubt=lambda pair, reason: self.ownership.doubt(pair, reason), wall_us=clock.wall_us,
        )  # fmt: skip
        self.ownership = Ownership(
            redis=client, keys=KEYS, leases=self.leases, publisher=self.publisher, subscriber=self,
            members=lambda: self.members, capacity=capacity, mono_ms=lambda: self.now_ms, source=lambda pair: NO_BOOK,
        )  # fmt: skip

    def subscribe(self, pair: Pair, depth: str, channels: frozenset[str], priority: int = 1) -> None:
        self.priorities[pair] = priority
        self.asked.append((f"subscribe {depth} {','.join(sorted(channels))}", pair))

    def unsubscribe(self, pair: Pair) -> None:
        self.asked.append(("unsubscribe", pair))
        self.publisher.add(Reset(pair=pair, received_us=1, reason=ResetReason.UNSUBSCRIBED))

    def is_held(self, pair: Pair) -> bool:
        return False

    def continuity(self, pair: Pair, depth: str) -> Continuity | None:
        return Continuity(CONTIGUOUS, comparable=True, images=False)

    @property
    def owned(self) -> list[Pair]:
        return sorted(self.ownership.owned)

    async def claim(self, *wishes: Wanted) -> None:
        self.ownership.want(wishes)
        await self.ownership.step()

    def trade(self, pair: Pair) -> None:
        """A public trade."""
        event = Trade(pair=pair, received_us=1, price="1", amount="1", side="buy", trade_id="7")
        self.publisher.add(event, trade=True)

    def give(self, pair: Pair) -> None:
        """The feed's first snapshot."""
        event = Snapshot(pair=pair, received_us=1, bids={"1": "2"}, asks={"3": "4"}, reason=SnapshotReason.FIRST)
        self.publisher.add(event)


@pytest.fixture
async def new_daemon(redis_url: str) -> AsyncIterator:
    """`await new_daemon(0)`: the first member's claims; its publisher runs."""
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[None]] = []

        async def make(number: int, capacity: int = 100) -> Daemon:
            client = await stack.enter_async_context(redis_client(redis_url))
            connection = OrderedConnection(redis_url)
            stack.push_async_callback(connection.close)
            await connection.connect()
            daemon = Daemon(client, connection, MEMBERS[number], capacity)
            tasks.append(group.create_task(daemon.publisher.run()))
            return daemon

        yield make
        for task in tasks:
            task.cancel()


async def holder(client: redis.asyncio.Redis, pair: Pair) -> str | None:
    value = await client.get(KEYS.lease(pair))
    return value.decode().split(" ", 1)[1] if value else None


async def test_a_free_pair_is_claimed_and_then_subscribed(new_daemon, redis):
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(BTC, ETH))
    assert daemon.owned == [BTC, ETH]
    assert sorted(daemon.asked) == [("subscribe full book", BTC), ("subscribe full book", ETH)]
    assert await holder(redis, BTC) == MEMBERS[0]
    await daemon.ownership.step()
    assert len(daemon.asked) == 2


async def test_a_traded_pair_goes_first_at_its_venue(new_daemon):
    daemon = await new_daemon(0)
    [btc], [eth] = wanted(BTC), wanted(ETH)
    await daemon.claim(btc._replace(traded=True), eth)
    assert daemon.priorities == {BTC: 0, ETH: 1}


async def test_the_first_in_rank_claims_at_once_and_the_others_wait_their_turn(new_daemon, redis):
    order = ranking(BTC.label, MEMBERS)
    first, later = [await new_daemon(MEMBERS.index(member)) for member in order]
    first.members = later.members = list(MEMBERS)
    await later.claim(*wanted(BTC))
    assert later.owned == []
    later.now_ms += LEASE_MS / 4 - 1
    await later.ownership.step()
    assert later.owned == []
    await first.claim(*wanted(BTC))
    assert first.owned == [BTC]
    later.now_ms += LEASE_MS
    await later.ownership.step()
    assert later.owned == []  # held: nothing moves while its owner lives
    await redis.delete(KEYS.lease(BTC))
    await later.ownership.step()
    assert later.owned == []  # free anew: the wait begins anew
    later.now_ms += LEASE_MS / 4
    await later.ownership.step()
    assert later.owned == [BTC]


async def test_no_more_than_the_capacity_is_claimed(new_daemon):
    daemon = await new_daemon(0, capacity=2)
    await daemon.claim(*wanted(BTC, ETH, SOL))
    assert daemon.owned == [BTC, ETH]  # as the tasks order them: highest priority first
    assert daemon.ownership.unplaced == 1
    await daemon.claim(*wanted(BTC, SOL))
    await daemon.publisher.flushed()  # the last event of ETH
    await daemon.ownership.step()
    assert daemon.owned == [BTC, SOL]
    assert daemon.ownership.unplaced == 0


async def test_a_quiet_daemon_claims_nothing_more_but_keeps_what_it_has(new_daemon):
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(BTC))
    daemon.ownership.claiming = False
    await daemon.claim(*wanted(BTC, ETH))
    assert daemon.owned == [BTC]


async def test_the_book_of_a_pair_whose_owner_is_gone_is_marked_stale(new_daemon, redis, wait_until):
    gone, heir = await new_daemon(0), await new_daemon(1)
    await gone.claim(*wanted(BTC))
    gone.give(BTC)
    await gone.publisher.flushed()
    assert (await load_book(redis, KEYS, BTC)).live
    await redis.delete(KEYS.lease(BTC))
    heir.members = list(MEMBERS)
    heir.ownership.claiming = False
    await heir.claim(*wanted(BTC))
    assert await redis.hget(KEYS.book(BTC), "status") == b"stale"


async def test_what_is_not_wanted_any_more_ends_with_its_reset_and_is_released(new_daemon, redis):
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(BTC, ETH))
    daemon.give(BTC)
    await daemon.publisher.flushed()
    await daemon.claim(*wanted(ETH))
    assert ("unsubscribe", BTC) in daemon.asked
    assert daemon.owned == [BTC, ETH]  # its last event is still to be published
    await daemon.publisher.flushed()
    await daemon.ownership.step()
    assert daemon.owned == [ETH]
    assert await holder(redis, BTC) is None
    [last] = await redis.xrevrange(KEYS.deltas(KEYS.shard(BTC)), count=1)
    assert last[1][b"t"] == b"reset"


async def test_a_pair_whose_last_event_cannot_be_published_is_released_after_a_while(new_daemon, redis):
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(BTC))
    outbox = daemon.publisher.outbox(BTC)
    assert outbox is not None
    outbox.doubt()
    await daemon.claim()
    assert daemon.owned == [BTC]
    daemon.now_ms += LEAVE_MS
    await daemon.ownership.step()
    assert daemon.owned == []
    assert await holder(redis, BTC) is None


@pytest.mark.parametrize("change", [{"depth": "50"}, {"channels": ("book", "trades")}], ids=["depth", "trades"])
async def test_another_depth_or_a_trades_line_starts_a_new_line(new_daemon, change):
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(BTC))
    before = daemon.publisher.outbox(BTC)
    await daemon.claim(*wanted(BTC, **change))
    await daemon.publisher.flushed()
    await daemon.ownership.step()
    await daemon.ownership.step()
    assert daemon.publisher.outbox(BTC) is not before
    assert daemon.ownership.owned[BTC].wish == wanted(BTC, **change)[0]
    assert [word.split()[0] for word, _ in daemon.asked] == ["subscribe", "unsubscribe", "subscribe"]


async def test_best_prices_in_addition_only_change_the_subscription(new_daemon):
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(BTC))
    before = daemon.publisher.outbox(BTC)
    await daemon.claim(*wanted(BTC, channels=("bbo", "book")))
    assert daemon.publisher.outbox(BTC) is before
    assert daemon.asked[1:] == [("subscribe full bbo,book", BTC)]


async def test_a_doubt_is_settled_by_asking_again_and_the_line_goes_on(new_daemon, redis, wait_until):
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(BTC))
    daemon.give(BTC)
    await daemon.publisher.flushed()
    lease = daemon.leases.leases[0]
    token = daemon.publisher.outbox(BTC).token
    daemon.ownership.on_lease_lost(lease, LossReason.EXPIRED)
    assert daemon.publisher.outbox(BTC).phase is Phase.DOUBTFUL
    await daemon.ownership.step()
    outbox = daemon.publisher.outbox(BTC)
    assert (outbox.phase, outbox.token > token) == (Phase.OPEN, True)
    assert daemon.asked == [("subscribe full book", BTC)]
    await wait_until(lambda: outbox.flushed, "the hashes to be rewritten under the new token")
    assert await redis.xlen(KEYS.deltas(KEYS.shard(BTC))) == 1  # nobody wrote between: no Reset, no new Snapshot


async def test_a_lost_lease_stops_the_trades_line_too(new_daemon, redis):
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(BTC, channels=("book", "trades")))
    daemon.ownership.on_lease_lost(daemon.leases.leases[0], LossReason.TAKEN)
    daemon.give(BTC)
    daemon.trade(BTC)
    await daemon.publisher.flushed()
    stream = KEYS.trades(KEYS.shard(BTC))
    assert await redis.xlen(stream) == 0
    await daemon.ownership.step()
    await daemon.publisher.flushed()
    [(_, fields)] = await redis.xrange(stream)
    assert int(fields[b"e"]) == daemon.leases.leases[0].token


async def test_a_refusal_of_the_trades_line_alone_costs_the_book_no_reset(new_daemon, redis):
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(BTC, channels=("book", "trades")))
    daemon.give(BTC)
    await daemon.publisher.flushed()
    tail, field = KEYS.tail(KEYS.shard(BTC)), trades_field(BTC)
    await redis.hdel(tail, field)
    daemon.trade(BTC)
    await daemon.publisher.flushed()
    assert daemon.publisher.refusals == 1
    await daemon.ownership.step()
    await daemon.publisher.flushed()
    assert await redis.xlen(KEYS.deltas(KEYS.shard(BTC))) == 1


async def test_a_doubtful_pair_that_another_holds_is_lost_and_may_come_back(new_daemon, redis):
    daemon, other = await new_daemon(0), await new_daemon(1)
    await daemon.claim(*wanted(BTC))
    await redis.delete(KEYS.lease(BTC))
    await other.claim(*wanted(BTC))
    daemon.ownership.doubt(BTC, "for the test")
    await daemon.ownership.step()
    assert (daemon.owned, other.owned) == ([], [BTC])
    assert BTC in daemon.ownership.warm  # should the other die at once, we go on
    daemon.now_ms += LINGER * LEASE_MS
    await daemon.ownership.step()
    assert daemon.asked[-1] == ("unsubscribe", BTC)
    await other.ownership.release_all()
    await daemon.ownership.step()
    assert daemon.owned == [BTC]


async def test_a_clean_stop_releases_everything_and_says_so_to_readers(new_daemon, redis):
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(BTC, ETH))
    daemon.give(BTC)
    await daemon.publisher.flushed()
    await daemon.ownership.release_all()
    assert daemon.owned == []
    assert [await holder(redis, pair) for pair in (BTC, ETH)] == [None, None]
    assert (await load_book(redis, KEYS, BTC)).status == "stale"
    assert await redis.hget(KEYS.book(BTC), "status") == b"resync"


async def test_a_clean_stop_in_the_middle_of_claiming_leaves_nothing_behind(new_daemon, redis):
    pairs = [Pair("somewhere", "spot", f"P{i}/USDT") for i in range(20)]
    daemon = await new_daemon(0)
    daemon.ownership.want(wanted(*pairs))
    async with asyncio.TaskGroup() as group:
        step = group.create_task(daemon.ownership.step())
        while not daemon.owned:
            await asyncio.sleep(0)
        assert not step.done()
        group.create_task(daemon.ownership.release_all())
    assert daemon.owned == []
    assert [pair for pair in pairs if await holder(redis, pair)] == []


async def test_a_clean_stop_in_the_middle_of_releasing_leaves_nothing_behind(new_daemon, redis):
    pairs = [Pair("somewhere", "spot", f"P{i}/USDT") for i in range(20)]
    daemon = await new_daemon(0)
    await daemon.claim(*wanted(*pairs))
    await daemon.claim()
    await daemon.publisher.flushed()
    async with asyncio.TaskGroup() as group:
        step = group.create_task(daemon.ownership.step())
        while len(daemon.owned) == len(pairs):
            await asyncio.sleep(0)
        assert not step.done()
        group.create_task(daemon.ownership.release_all())
    assert daemon.owned == []
    assert [pair for pair in pairs if await holder(redis, pair)] == []


async def test_a_step_tells_of_a_redis_that_does_not_answer(own_redis, new_directory):
    server = await own_redis()
    async with redis_client(server.url) as client:
        connection = OrderedConnection(server.url)
        await connection.connect()
        daemon = Daemon(client, connection, MEMBERS[0], 10)
        await daemon.claim(*wanted(BTC))
        await server.kill()
        with pytest.raises((redis.exceptions.ConnectionError, OSError)):
            await daemon.claim(*wanted(BTC, ETH))
        assert daemon.owned == [BTC]
        assert daemon.publisher.outbox(ETH) is None
        await connection.close()
