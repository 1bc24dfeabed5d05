"""The feed role of a daemon on a real Redis and a simulated venue."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

import pytest
import redis.asyncio

from books.decimals import SPELLINGS
from books.store import load_book
from feeds import role as role_module
from feeds.role import FeedRole
from fleet import clock
from fleet.config import load
from fleet.keys import Keys
from fleet.lease import LeaseKeeper
from fleet.pair import Pair
from fleet.tasks import Task, TaskSet
from ops.simulator.simulator import Simulator
from tests.support.clients import redis_client

BTC, ETH = Pair("okx", "spot", "BTC/USDT"), Pair("okx", "spot", "ETH/USDT")
NOWHERE = Pair("nowhere", "spot", "BTC/USDT")


class Tasks:
    """A task source that the test holds."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[TaskSet], None]] = []
        self.known = TaskSet()

    def subscribe(self, listener: Callable[[TaskSet], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        listener(self.known)
        return lambda: self.listeners.remove(listener)

    def ask(self, *pairs: Pair) -> None:
        self.known = TaskSet(tuple(Task(table="MONITORING", pair=pair) for pair in pairs))
        for listener in self.listeners:
            listener(self.known)


class Daemon:
    """A role with its keeper; `role` runs until the block ends."""

    def __init__(self, url: str, sim: Simulator, client: redis.asyncio.Redis) -> None:
        [end] = sim.endpoints
        settings = load(
            environ={
                "FLEET_REDIS_URL": url, "FLEET_LEASE_MS": "4000", "FLEET_SHARDS": "2",
                "FLEET_VENUES__OKX__SPOT__REST_URL": end["rest_url"],
                "FLEET_VENUES__OKX__SPOT__WS_URL": end["ws_url"],
            }
        )  # fmt: skip
        self.keys = Keys(shards=2)
        self.redis = client
        self.tasks = Tasks()
        self.leases = LeaseKeeper(
            client, holder="host:1:a", lease_ms=4000, mono_ms=clock.mono_ms,
            on_lost=lambda lease, reason: self.role.ownership.on_lease_lost(lease, reason),
        )  # fmt: skip
        self.role = FeedRole(
            settings, client, self.keys, self.leases, self.tasks, members=lambda: ["host:1:a"], rng=random.Random(1)
        )

    async def is_live(self, pair: Pair) -> bool:
        return (await load_book(self.redis, self.keys, pair)).live


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """OKX spot."""
    async with Simulator([("okx", "spot")], pairs=4, rate=8, enforce_limits=False) as simulator:
        yield simulator


@contextlib.asynccontextmanager
async def running(url: str, sim: Simulator) -> AsyncIterator[Daemon]:
    async with redis_client(url) as client:
        daemon = Daemon(url, sim, client)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(daemon.leases.run()), group.create_task(daemon.role.run())]
                try:
                    yield daemon
                finally:
                    for task in tasks:
                        task.cancel()
        finally:
            await daemon.role.connection.close()


@pytest.fixture
async def daemon(redis_url: str, sim: Simulator, monkeypatch) -> AsyncIterator[Daemon]:
    """A role that runs and has no tasks yet."""
    monkeypatch.setattr(role_module, "SETTLE_MS", 0.0)
    async with running(redis_url, sim) as made:
        yield made


async def test_nothing_is_claimed_before_the_daemons_have_seen_each_other(redis_url, sim, monkeypatch, wait_until):
    monkeypatch.setattr(role_module, "SETTLE_MS", 3_600_000.0)
    async with running(redis_url, sim) as daemon:
        daemon.tasks.ask(BTC)
        await wait_until(lambda: daemon.role.connection.connected, "the connection")
        await wait_until(lambda: not daemon.role.ownership.woken.is_set(), "a turn of the ownership loop")
        assert daemon.role.ownership.owned == {}


async def test_pairs_become_live_and_go_with_their_tasks(daemon, redis, wait_until):
    daemon.tasks.ask(BTC, ETH)
    await wait_until(lambda: daemon.is_live(BTC), "a live book", 20)
    await wait_until(lambda: daemon.is_live(ETH), "a live book", 20)
    await wait_until(lambda: daemon.role.rate > 0, "a measured rate")
    states = daemon.role.pair_states()
    assert {label: state["state"] for label, state in states.items()} == {BTC.label: "live", ETH.label: "live"}
    assert states[BTC.label].keys() == {"role", "rate", "gaps", "resyncs", "checksums", "seams", "state", "reason"}
    daemon.tasks.ask(ETH)
    await wait_until(lambda: BTC not in daemon.role.ownership.owned, "the end of a pair")
    assert await redis.exists(daemon.keys.lease(BTC)) == 0
    assert daemon.role.pair_states().keys() == {ETH.label}


async def test_spellings_that_nobody_asks_for_are_forgotten(redis_url, sim, monkeypatch, wait_until):
    monkeypatch.setattr(role_module, "FORGET_EVERY_S", 0.05)
    monkeypatch.setattr(role_module, "SETTLE_MS", 0.0)
    async with running(redis_url, sim) as daemon:
        daemon.tasks.ask(BTC)
        await wait_until(lambda: daemon.is_live(BTC), "a live book", 20)
        assert SPELLINGS["8123456789.70"] == "8123456789.7"
        await wait_until(
            lambda: "8123456789.70" not in {*SPELLINGS, *SPELLINGS._before}, "the text to be forgotten", 20
        )


async def test_a_refusal_is_logged_once_and_anew_after_the_tasks_changed(daemon, wait_until, caplog):
    daemon.tasks.ask(NOWHERE)
    await wait_until(lambda: NOWHERE in daemon.role.refused, "the refusal")
    daemon.role._on_refused(NOWHERE, daemon.role.refused[NOWHERE])
    assert caplog.text.count(f"{NOWHERE}: refused") == 1
    assert daemon.role.pair_states()[NOWHERE.label]["state"] == "refused"
    daemon.tasks.ask(NOWHERE, BTC)
    assert daemon.role.refused == {}
    await wait_until(lambda: daemon.is_live(BTC), "a live book", 20)


async def test_a_quiet_role_claims_nothing_more_and_a_stopped_one_gives_all_back(daemon, redis, wait_until):
    daemon.tasks.ask(BTC)
    await wait_until(lambda: daemon.is_live(BTC), "a live book", 20)
    await daemon.role.quiet()
    daemon.tasks.ask(BTC, ETH)
    await daemon.role.ownership.step()
    assert daemon.role.ownership.owned.keys() == {BTC}
    await daemon.role.stop(clock.mono_ms() + 10_000)
    assert daemon.role.ownership.owned == {}
    assert await redis.exists(daemon.keys.lease(BTC), daemon.keys.lease(ETH)) == 0
    [(_, last)] = await redis.xrevrange(daemon.keys.deltas(daemon.keys.shard(BTC)), count=1)
    assert last[b"t"] == b"reset"


async def test_a_cut_connection_is_made_anew_and_the_line_goes_on(daemon, redis, wait_until):
    daemon.tasks.ask(BTC)
    await wait_until(lambda: daemon.is_live(BTC), "a live book", 20)
    before = await load_book(redis, daemon.keys, BTC)
    generation = daemon.role.connection.generation
    [cut] = [one["id"] for one in await redis.client_list() if one["name"] == "fleet-publish"]
    await redis.client_kill_filter(_id=cut)
    await wait_until(lambda: daemon.role.connection.generation > generation, "a new connection")

    async def goes_on() -> bool:
        book = await load_book(redis, daemon.keys, BTC)
        return book.live and book.epoch > before.epoch and book.n > before.n

    await wait_until(goes_on, "entries under a new token", 20)
    kinds = [fields[b"t"] for _, fields in await redis.xrange(daemon.keys.deltas(daemon.keys.shard(BTC)))]
    assert kinds.count(b"snapshot") == 1
    assert b"reset" not in kinds


async def test_a_stop_without_redis_is_told_and_raises_nothing(own_redis, sim, monkeypatch, wait_until, caplog):
    monkeypatch.setattr(role_module, "SETTLE_MS", 0.0)
    server = await own_redis()
    async with running(server.url, sim) as daemon:
        daemon.tasks.ask(BTC)
        await wait_until(lambda: daemon.is_live(BTC), "a live book", 20)
        await server.kill()
        await daemon.role.stop(clock.mono_ms() + 10_000)
        assert "the leases run out by themselves" in caplog.text


async def test_a_burst_waits_in_the_sockets_while_redis_is_slow_but_not_for_ever(
    own_redis, sim, monkeypatch, wait_until
):
    monkeypatch.setattr(role_module, "SETTLE_MS", 0.0)
    monkeypatch.setattr(role_module, "WAITING_MOST", 3)
    monkeypatch.setattr(role_module, "WAITING_FEW", 1)
    monkeypatch.setattr(role_module, "HELD_MOST_MS", 300.0)
    server = await own_redis()
    async with running(server.url, sim) as daemon:
        daemon.tasks.ask(BTC, ETH)
        await wait_until(lambda: daemon.is_live(BTC), "a live book", 20)
        held: list[str] = []
        hold, release = daemon.role.pool.hold, daemon.role.pool.release
        monkeypatch.setattr(daemon.role.pool, "hold", lambda: (held.append("hold"), hold()))
        monkeypatch.setattr(daemon.role.pool, "release", lambda: (held.append("release"), release()))
        server.pause()
        await wait_until(lambda: held[:2] == ["hold", "release"], f"hold and release: {held}", 20)
        server.resume()
        await wait_until(lambda: daemon.is_live(BTC), "a live book", 20)
        await wait_until(lambda: daemon.role.publisher.waiting < 3, "an end of waiting", 20)
