"""fleet/lease.py on a real server, with a clock moved by hand."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from fleet import clock, scripts
from fleet.errors import ConnectionLost, LeaseLost
from fleet.kept_connected import kept_connected
from fleet.keys import Keys
from fleet.lease import HANG_LEASES, Late, Lease, LeaseKeeper, LossReason, lane_target, pair_target, trades_field
from fleet.lease_hold import hold
from fleet.lease_states import IllegalLeaseEventError, State
from fleet.ordered import OrderedConnection
from fleet.ordered_cluster import ordered
from fleet.own_thread import in_own_thread
from fleet.pair import Pair
from fleet.redis_connection import own_paces
from fleet.scripts import Granted, Taken

LEASE_MS = 4000
KEYS = Keys("", 4)
PAIRS = [Pair("binance", "spot", f"P{number}/USDT") for number in range(12)]
ONE = pair_target(KEYS, PAIRS[0])


class Clock:
    now_ms = 1000.0

    def __call__(self) -> float:
        return self.now_ms


class Holder:
    """A keeper, its clock, and what it lost."""

    def __init__(self, connection: OrderedConnection, name: str, lease_ms: int = LEASE_MS) -> None:
        self.clock = Clock()
        self.lost: list[tuple[str, LossReason]] = []
        self.keeper = LeaseKeeper(connection, holder=name, lease_ms=lease_ms, mono_ms=self.clock, on_lost=self.on_lost)

    def on_lost(self, lease: Lease, reason: LossReason) -> None:
        assert lease.state is State.LOST
        assert self.keeper.lease(lease.target) is None
        self.lost.append((lease.target.name, reason))


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[OrderedConnection]:
    ordered = OrderedConnection(redis_url)
    await ordered.connect()
    yield ordered
    await ordered.close()


@pytest.fixture
def me(connection: OrderedConnection) -> Holder:
    return Holder(connection, "host:1:a")


@pytest.fixture
def you(connection: OrderedConnection) -> Holder:
    return Holder(connection, "host:2:b")


async def test_a_grant_is_held_until_three_quarters_of_the_lease_from_sending(me: Holder) -> None:
    answer = await me.keeper.acquire(ONE)
    assert isinstance(answer, Granted)
    lease = me.keeper.lease(ONE)
    assert lease is not None
    assert (lease.token, lease.granted) == (answer.token, answer)
    me.clock.now_ms += LEASE_MS * 3 / 4 - 1
    assert me.keeper.holds(ONE)
    me.clock.now_ms += 1
    assert not me.keeper.holds(ONE)  # before anybody has told it: the question looks at the clock itself
    me.keeper.expire()
    assert me.lost == [(PAIRS[0].label, LossReason.EXPIRED)]


async def test_a_renewal_moves_the_deadline_from_its_sending(me: Holder, redis: redis.asyncio.Redis) -> None:
    await me.keeper.acquire(ONE)
    await redis.pexpire(ONE.lease, 1000)
    me.clock.now_ms += 2000
    await me.keeper.renew()
    assert await redis.pttl(ONE.lease) > 3000
    me.clock.now_ms += LEASE_MS * 3 / 4 - 1
    me.keeper.expire()
    assert me.keeper.holds(ONE)
    assert me.lost == []


async def test_many_are_renewed_by_one_call_a_shard_and_only_the_lost_are_lost(
    me: Holder, you: Holder, redis: redis.asyncio.Redis
) -> None:
    targets = [pair_target(KEYS, pair) for pair in PAIRS]
    for target in targets:
        await me.keeper.acquire(target)
    await redis.delete(targets[3].lease, targets[7].lease)
    await you.keeper.acquire(targets[7])
    before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    await me.keeper.renew()
    after = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]

    assert after - before <= 2 * KEYS.shards  # a first NOSCRIPT counts too
    assert sorted(me.lost) == sorted((PAIRS[i].label, LossReason.TAKEN) for i in (3, 7))
    assert len(me.keeper.leases) == len(PAIRS) - 2
    assert you.keeper.holds(targets[7])


async def test_a_lease_taken_by_another_is_refused_and_not_kept(me: Holder, you: Holder) -> None:
    await me.keeper.acquire(ONE)
    assert await you.keeper.acquire(ONE) == Taken("host:1:a")
    assert you.keeper.lease(ONE) is None
    await you.keeper.renew()
    assert you.lost == []


async def test_asking_again_while_held_gives_a_new_token_and_the_renewal_under_way_is_not_a_loss(me: Holder) -> None:
    first = await me.keeper.acquire(ONE)
    async with asyncio.TaskGroup() as group:
        group.create_task(me.keeper.renew())
        second = group.create_task(me.keeper.acquire(ONE))
    assert isinstance(first, Granted)
    answer = second.result()
    assert isinstance(answer, Granted)
    assert answer.token > first.token
    assert me.lost == []
    await me.keeper.renew()
    assert me.keeper.holds(ONE)


async def test_the_highest_token_seen_is_the_floor_of_the_next(me: Holder, redis: redis.asyncio.Redis) -> None:
    first = await me.keeper.acquire(ONE, floor=9_000_000_000_000)
    assert isinstance(first, Granted)
    await redis.flushdb()
    second = await me.keeper.acquire(ONE)
    assert isinstance(second, Granted)
    assert second.token > first.token > 9_000_000_000_000


async def test_an_answer_past_the_deadline_is_not_used(me: Holder, connection: OrderedConnection) -> None:
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(me.keeper.acquire(ONE))
        await asyncio.sleep(0)  # sent
        me.clock.now_ms += LEASE_MS * 3 / 4
    assert asking.result() == Late(LEASE_MS * 3 / 4)
    assert me.keeper.lease(ONE) is None
    assert isinstance(await me.keeper.acquire(ONE), Granted)


async def test_a_released_lease_is_free_and_an_abandoned_one_runs_out(
    me: Holder, you: Holder, redis: redis.asyncio.Redis
) -> None:
    await me.keeper.acquire(ONE)
    assert await me.keeper.release(ONE)
    assert not await me.keeper.release(ONE)
    assert isinstance(await you.keeper.acquire(ONE), Granted)
    you.keeper.abandon(ONE)
    assert you.keeper.lease(ONE) is None
    assert await redis.exists(ONE.lease)
    assert (me.lost, you.lost) == ([], [])


async def test_a_cancelled_or_failed_question_leaves_nothing_behind(me: Holder, connection: OrderedConnection) -> None:
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(me.keeper.acquire(ONE))
        await asyncio.sleep(0)
        asking.cancel()
    assert me.keeper.leases == ()
    await connection.close()
    with pytest.raises(ConnectionLost):
        await me.keeper.acquire(ONE)
    assert me.keeper.leases == ()


async def test_two_questions_for_one_lease_at_once_are_a_mistake(me: Holder) -> None:
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(me.keeper.acquire(ONE))
        await asyncio.sleep(0)
        with pytest.raises(IllegalLeaseEventError):
            await me.keeper.acquire(ONE)
    assert isinstance(asking.result(), Granted)


async def test_a_frozen_redis_costs_the_lease_by_our_own_clock_and_the_renewals_are_counted(
    own_redis, wait_until
) -> None:
    server = await own_redis()
    connection = OrderedConnection(server.url, reply_timeout_s=0.05)
    await connection.connect()
    holder = Holder(connection, "host:1:a", lease_ms=800)
    await holder.keeper.acquire(ONE)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(holder.keeper.run())
        server.pause()
        await wait_until(lambda: holder.keeper.renew_failures, "a renewal without an answer")
        assert holder.lost == []
        holder.clock.now_ms += 600
        await wait_until(lambda: holder.lost, "the lease to be lost")
        assert holder.lost == [(PAIRS[0].label, LossReason.EXPIRED)]
        server.resume()
        running.cancel()
    assert holder.keeper.worst_stall_ms >= 500  # the jump of the clock, as a suspended machine would see it
    assert holder.keeper.take_stall_ms() >= 500
    assert holder.keeper.take_stall_ms() == 0
    await connection.close()


async def test_an_unanswered_renewal_does_not_keep_the_clock_from_being_looked_at(own_redis, wait_until) -> None:
    server = await own_redis()
    connection = OrderedConnection(server.url)  # its reply timeout is far longer than this test
    await connection.connect()
    holder = Holder(connection, "host:1:a", lease_ms=800)
    await holder.keeper.acquire(ONE)
    server.pause()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(holder.keeper.run())
        await wait_until(lambda: connection.in_flight, "a renewal under way")
        holder.clock.now_ms += 600
        await wait_until(lambda: holder.lost, "the lease to be lost")
        assert connection.in_flight == 1
        running.cancel()
    server.resume()
    await connection.close()


def answered_late(monkeypatch: pytest.MonkeyPatch, clock: Clock, lease_ms: int = LEASE_MS) -> None:
    """The holder freezes between Redis's renewing and its reading of the answer."""
    real = scripts.renew

    async def renew(*words: Any, **options: Any) -> list[int]:
        lost = await real(*words, **options)
        clock.now_ms += lease_ms * 3 / 4
        return lost

    monkeypatch.setattr(scripts, "renew", renew)


async def test_a_renewal_answered_past_the_deadline_is_a_loss_and_the_lease_is_free_at_once(
    me: Holder, you: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await me.keeper.acquire(ONE)
    answered_late(monkeypatch, me.clock)
    await me.keeper.renew()
    assert me.lost == [(PAIRS[0].label, LossReason.EXPIRED)]
    assert isinstance(await you.keeper.acquire(ONE), Granted)


async def test_a_lease_past_its_deadline_is_not_renewed_but_lost(me: Holder, redis: redis.asyncio.Redis) -> None:
    await me.keeper.acquire(ONE)
    await redis.pexpire(ONE.lease, 60_000)
    me.clock.now_ms += LEASE_MS * 3 / 4
    await me.keeper.renew()
    assert me.lost == [(PAIRS[0].label, LossReason.EXPIRED)]
    assert await redis.pttl(ONE.lease) > LEASE_MS


async def test_what_a_renewal_under_way_prolongs_after_the_loss_is_given_back_unless_asked_for_anew(
    me: Holder, redis: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = pair_target(KEYS, next(pair for pair in PAIRS[1:] if KEYS.shard(pair) == KEYS.shard(PAIRS[0])))
    await me.keeper.acquire(ONE)
    await me.keeper.acquire(two)
    real = scripts.renew

    async def renew(*words: Any, **options: Any) -> list[int]:
        lost = await real(*words, **options)
        me.clock.now_ms += LEASE_MS * 3 / 4
        me.keeper.expire()
        assert isinstance(await me.keeper.acquire(two), Granted)
        return lost

    monkeypatch.setattr(scripts, "renew", renew)
    await me.keeper.renew()
    assert me.lost == [(PAIRS[0].label, LossReason.EXPIRED), (two.name, LossReason.EXPIRED)]
    assert await redis.get(ONE.lease) is None
    assert me.keeper.holds(two)
    assert await redis.get(two.lease) is not None


async def test_a_lane_is_held_while_its_body_runs_and_released_after(me: Holder, redis: redis.asyncio.Redis) -> None:
    lane = lane_target(KEYS, 2)
    async with hold(me.keeper, lane) as lease:
        assert me.keeper.holds(lane)
        assert await redis.hget(KEYS.lanes(), "2") == f"{lease.token} {lease.token} - 0-0".encode()
    assert not await redis.exists(lane.lease)


async def test_losing_the_lease_cancels_the_body(me: Holder, redis: redis.asyncio.Redis) -> None:
    lane = lane_target(KEYS, 2)
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        async with hold(me.keeper, lane), asyncio.TaskGroup() as group:
            await redis.delete(lane.lease)
            group.create_task(me.keeper.renew())
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled = True
                raise

    with pytest.raises(LeaseLost, match="lane 2: the lease was taken"):
        await work()
    assert cancelled
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert me.lost == []  # the body was told, not the keeper's owner


async def test_a_cancellation_from_outside_goes_through_and_releases(
    me: Holder, redis: redis.asyncio.Redis, wait_until
) -> None:
    lane = lane_target(KEYS, 2)

    async def work() -> None:
        async with hold(me.keeper, lane):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        working = group.create_task(work())
        await wait_until(lambda: me.keeper.holds(lane), "the lease")
        working.cancel()
    assert working.cancelled()
    assert not await redis.exists(lane.lease)
    assert me.keeper.leases == ()


async def test_hold_waits_for_its_turn(connection: OrderedConnection, me: Holder, wait_until) -> None:
    lane = lane_target(KEYS, 2)
    waiting = Holder(connection, "host:2:b", lease_ms=500)
    await me.keeper.acquire(lane)
    entered = asyncio.Event()

    async def work() -> None:
        async with hold(waiting.keeper, lane):
            entered.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        await asyncio.sleep(0)
        assert not entered.is_set()
        await me.keeper.release(lane)
    assert entered.is_set()


def test_a_pair_with_trades_leases_both_of_its_lines() -> None:
    target = pair_target(KEYS, PAIRS[0], trades=True)
    assert target.fields == (PAIRS[0].label, trades_field(PAIRS[0]))
    assert target.tail == KEYS.tail(KEYS.shard(PAIRS[0]))


class Blocked:
    """A keeper whose renewals have a thread of their own, as in a daemon, with real time and a short lease."""

    LEASE_MS = 500

    def __init__(self, client: redis.asyncio.Redis, url: str) -> None:
        self.lost: list[LossReason] = []
        self.keeper = LeaseKeeper(
            client, holder="host:1:a", lease_ms=self.LEASE_MS, mono_ms=clock.mono_ms,
            on_lost=lambda _, reason: self.lost.append(reason),
            renewals=lambda: kept_connected(ordered(url), own_paces().of(url), "renewing leases"),
        )  # fmt: skip

    def block(self, leases: float) -> None:
        """The fault itself: our event loop does nothing else for so many lease times."""
        time.sleep(leases * self.LEASE_MS / 1000)


async def test_a_busy_event_loop_does_not_cost_the_lease(redis: redis.asyncio.Redis, redis_url: str) -> None:
    blocked = Blocked(redis, redis_url)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(blocked.keeper.run())
        assert isinstance(await blocked.keeper.acquire(ONE), Granted)
        before = await redis.get(ONE.lease)
        blocked.block(HANG_LEASES * 0.8)
        blocked.keeper.expire()
        assert blocked.keeper.holds(ONE)
        assert await redis.get(ONE.lease) == before
        await asyncio.sleep(0)
        assert blocked.lost == []
        running.cancel()


async def test_an_event_loop_that_hangs_loses_its_leases(
    redis: redis.asyncio.Redis, redis_url: str, wait_until
) -> None:
    blocked = Blocked(redis, redis_url)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(blocked.keeper.run())
        assert isinstance(await blocked.keeper.acquire(ONE), Granted)
        blocked.block(HANG_LEASES + 2)
        assert await redis.get(ONE.lease) is None
        await wait_until(lambda: blocked.lost == [LossReason.EXPIRED], "the loss to be told")
        running.cancel()


async def test_a_lease_that_the_thread_finds_taken_is_lost_in_our_loop(
    redis: redis.asyncio.Redis, redis_url: str, wait_until
) -> None:
    blocked = Blocked(redis, redis_url)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(blocked.keeper.run())
        assert isinstance(await blocked.keeper.acquire(ONE), Granted)
        await redis.set(ONE.lease, "9 host:2:b", px=60_000)
        await wait_until(lambda: blocked.lost == [LossReason.TAKEN], "the loss to be told")
        assert blocked.keeper.lease(ONE) is None
        running.cancel()


async def test_a_renewal_that_the_thread_finds_late_is_a_loss_in_our_loop_and_is_given_back(
    redis: redis.asyncio.Redis, redis_url: str, wait_until, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_in: list[threading.Thread] = []
    by_hand = Clock()
    keeper = LeaseKeeper(
        redis, holder="host:1:a", lease_ms=60_000, mono_ms=by_hand,
        on_lost=lambda *_: told_in.append(threading.current_thread()), renewals=lambda: type(redis).from_url(redis_url),
    )  # fmt: skip
    assert isinstance(await keeper.acquire(ONE), Granted)
    answered_late(monkeypatch, by_hand, 60_000)

    async def is_free() -> bool:
        return not await redis.exists(ONE.lease)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(keeper.run())
        await wait_until(is_free, "the lease to be given back, long before it runs out")
        running.cancel()
    assert told_in == [threading.current_thread()]


async def test_what_fails_in_the_thread_fails_where_it_was_started() -> None:
    async def fail() -> None:
        raise ConnectionLost("for the test")

    with pytest.raises(ConnectionLost, match="for the test"):
        await in_own_thread(fail, "test")


async def test_a_thread_ends_with_who_started_it(wait_until) -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.get_running_loop().create_task(in_own_thread(work, "test of threads"))
    await wait_until(lambda: any(one.name == "test of threads" for one in threading.enumerate()), "the thread")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert not any(one.name == "test of threads" for one in threading.enumerate())


class TwoNodes(redis.asyncio.Redis):
    """Two servers stand for two nodes of a Cluster: shard 01 is on the second."""

    def __init__(self, *urls: str) -> None:
        super().__init__()
        self.nodes = [redis.asyncio.Redis.from_url(url) for url in urls]

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        if words[0] == "SCRIPT LOAD":
            return [await node.execute_command(*words) for node in self.nodes]
        return await self.nodes[str(words[3]).endswith("{01}")].execute_command(*words, **options)

    async def aclose(self, *_: Any) -> None:
        for node in self.nodes:
            await node.aclose()


async def test_a_shard_that_does_not_answer_costs_the_others_no_renewal(own_redis, wait_until) -> None:
    well, hung = await own_redis(), await own_redis()
    nodes = TwoNodes(well.url, hung.url)
    keeper = LeaseKeeper(
        nodes, holder="host:1:a", lease_ms=500, mono_ms=clock.mono_ms, on_lost=lambda lease, reason: None
    )
    targets = [pair_target(KEYS, pair) for pair in PAIRS]
    near, far = (next(one for one in targets if one.lease.endswith(tag)) for tag in ("{00}", "{01}"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(keeper.run())
        for target in (near, far):
            assert isinstance(await keeper.acquire(target), Granted)
        first_ms = {lease: lease.deadline_mono_ms for lease in keeper.leases}
        await wait_until(
            lambda: all(lease.deadline_mono_ms > at_ms for lease, at_ms in first_ms.items()), "a renewal of both"
        )
        hung.pause()
        try:
            await wait_until(lambda: not keeper.holds(far), "the loss of the lease on the hung node")
            before_ms = clock.mono_ms()
            await wait_until(lambda: clock.mono_ms() - before_ms > 1000, "two more lease times")
            assert keeper.holds(near)
        finally:
            hung.resume()
        running.cancel()
    await nodes.aclose()
