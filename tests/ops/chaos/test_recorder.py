"""ops/chaos/recorder.py on real servers: whatever happens to Redis, the tape says it and the check can judge it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from books.events import Mark, Reset, ResetReason, Trade
from books.sequence import IMAGES
from books.wire import encode
from fleet.clock import mono_ms
from ops.chaos.checker import check
from ops.chaos.history import Entry, History, Invariant, Note, Overtaken, ReadToEnd, Remade, Server
from ops.chaos.recorder import Recorder
from ops.embedded.redis import EmbeddedRedis
from tests.conftest import OwnRedis
from tests.support.small_fleet import BTC, ETH, SmallFleet, delta, small_fleet, snapshot
from tests.support.waiting import wait_until


class Scene:
    """A server of its own, a fleet that writes to it, and a recorder."""

    def __init__(self, server: EmbeddedRedis, fleet: SmallFleet, client: redis.asyncio.Redis) -> None:
        self.server, self.fleet, self.client = server, fleet, client
        self.tape: list[Note] = []
        self.recorder = Recorder(client, fleet.keys, self.tape.extend, mono_ms=mono_ms)

    @property
    def entries(self) -> list[Entry]:
        return [note for note in self.tape if isinstance(note, Entry)]

    def kinds(self) -> list[type[Note]]:
        return [type(note) for note in self.tape]

    async def write(self, sequence: int) -> None:
        await self.fleet.publish(BTC, delta(BTC, {"64000": str(sequence)}, {}, sequence))

    async def count(self) -> None:
        """A round that also counts, as one a second does."""
        self.recorder._counted_ms = float("-inf")
        assert await self.recorder.step()


Begin = Callable[..., Awaitable[Scene]]


@pytest.fixture
async def scene(own_redis: OwnRedis) -> AsyncIterator[Scene]:
    server = await own_redis({"enable-debug-command": "yes"})
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(small_fleet(server.url, shards=2))
        client = redis.asyncio.Redis.from_url(server.url, socket_timeout=0.3, retry=Retry(NoBackoff(), 0))
        stack.push_async_callback(client.aclose)
        yield Scene(server, fleet, client)


async def test_what_is_accepted_from_the_start_on_is_on_the_tape_with_the_venues_sequences(scene: Scene) -> None:
    await scene.fleet.make_live(BTC)
    await scene.recorder.start()
    await scene.write(8)
    await scene.fleet.publish(BTC, Reset(pair=BTC, received_us=5, reason=ResetReason.GAP))
    await scene.fleet.publish(BTC, snapshot(BTC, {"1": "2"}, {}, 20), Mark(pair=BTC, received_us=6))
    await scene.recorder.step()

    assert isinstance(scene.tape[0], Server)
    assert [(one.t, one.sequence, one.reason) for one in scene.entries] == [
        ("delta", 8, ""), ("reset", None, "gap"), ("snapshot", 20, "first"), ("mark", None, ""),
    ]  # fmt: skip
    first = scene.entries[0].n
    assert [one.n for one in scene.entries] == [first, first + 1, first + 2, first + 3]
    assert {(one.label, one.line) for one in scene.entries} == {(BTC.label, "book")}
    assert scene.recorder.entries == 4


async def test_trades_are_a_line_of_their_own(scene: Scene) -> None:
    await scene.recorder.start()
    trade = Trade(pair=ETH, received_us=1, price="1", amount="2", side="buy", trade_id="x")
    kind, payload = encode(trade)
    stream = scene.fleet.keys.trades(scene.fleet.keys.shard(ETH))
    await scene.client.xadd(stream, {"k": ETH.label, "t": kind.value, "n": "1", "e": "7", "d": payload})
    await scene.recorder.step()
    [entry] = scene.entries
    assert (entry.label, entry.line, entry.t, entry.epoch) == (ETH.label, "trades", "trade", 7)


async def test_an_outage_is_survived_and_nothing_of_it_is_lost(scene: Scene) -> None:
    await scene.fleet.make_live(BTC)
    await scene.recorder.start()
    scene.server.pause()
    assert not await scene.recorder.step()
    assert not await scene.recorder.step()
    scene.server.resume()
    await scene.write(8)
    await wait_until(scene.recorder.step, "Redis answers the recorder again")
    await scene.recorder.finish()
    assert scene.kinds() == [Server, Entry, ReadToEnd]
    assert scene.recorder.outages == 1


async def test_a_flush_is_told_and_what_comes_after_it_is_recorded(scene: Scene) -> None:
    await scene.fleet.make_live(BTC)
    await scene.recorder.start()
    await scene.write(8)
    await scene.recorder.step()
    await scene.client.flushall()
    await scene.count()
    await scene.fleet.make_live(BTC)
    await scene.recorder.finish()
    assert scene.kinds() == [Server, Entry, Remade, Entry, ReadToEnd]
    assert scene.entries[1].n > scene.entries[0].n + 1


async def test_a_flush_that_is_over_before_we_look_is_told_too(scene: Scene) -> None:
    await scene.fleet.make_live(BTC)
    await scene.recorder.start()
    await scene.write(8)
    await scene.write(9)
    await scene.count()
    await scene.client.flushall()
    await scene.fleet.make_live(BTC)
    await scene.recorder.finish()
    assert scene.kinds() == [Server, Entry, Entry, Remade, Entry, ReadToEnd]


async def test_ids_that_a_remade_stream_gives_again_are_read(scene: Scene) -> None:
    """As after a flush within one millisecond, or a clock set back: what is new lies below the cursor."""
    await scene.fleet.make_live(BTC)
    await scene.recorder.start()
    await scene.write(8)
    await scene.write(9)
    await scene.count()
    stream = scene.fleet.keys.deltas(scene.fleet.keys.shard(BTC))
    [(last_id, _)] = await scene.client.xrevrange(stream, count=1)
    await scene.client.flushall()
    kind, payload = encode(Reset(pair=BTC, received_us=5, reason=ResetReason.TAKEOVER))
    ms = int(last_id.partition(b"-")[0])
    for number, entry_id in enumerate((f"{ms - 1}-0", *(f"{ms + 1}-{seq}" for seq in range(9)))):
        fields = {"k": BTC.label, "t": kind.value, "n": str(number), "e": "7", "d": payload}
        await scene.client.xadd(stream, fields, id=entry_id)
    await scene.recorder.finish()
    assert scene.kinds() == [Server, Entry, Entry, Remade, *[Entry] * 10, ReadToEnd]
    assert [one.n for one in scene.entries[2:]] == list(range(10))


async def test_another_server_behind_the_same_address_is_told_by_the_first_poll(scene: Scene) -> None:
    """The client mends its connection by itself: no call fails, and yet it is another server that answers."""
    await scene.fleet.make_live(BTC)
    await scene.recorder.start()
    await scene.write(8)
    assert await scene.recorder.step()
    await scene.server.kill()
    await scene.server.start()
    await scene.client.connection_pool.disconnect()
    async with small_fleet(scene.server.url, shards=2) as successors:
        await successors.make_live(BTC)
        scene.recorder._counted_ms = float("inf")  # no count is due
        await wait_until(scene.client.ping, "the new server answers")
        assert await scene.recorder.step()
    assert scene.kinds() == [Server, Entry, Server, Remade, Entry]


async def test_trimming_that_overtook_us_is_counted_exactly(scene: Scene) -> None:
    await scene.fleet.make_live(BTC)
    await scene.recorder.start()
    await scene.write(8)
    await scene.count()
    for sequence in range(9, 14):
        await scene.write(sequence)
    await scene.client.xtrim(scene.fleet.keys.deltas(scene.fleet.keys.shard(BTC)), maxlen=2, approximate=False)
    await scene.count()
    [overtaken] = [note for note in scene.tape if isinstance(note, Overtaken)]
    assert (overtaken.missing, overtaken.labels) == (3, [BTC.label])
    assert [one.sequence for one in scene.entries] == [8, 12, 13]
    await scene.write(14)
    await scene.recorder.finish()
    assert sum(isinstance(note, Overtaken) for note in scene.tape) == 1, "told once"


async def test_trimming_behind_us_is_no_matter(scene: Scene) -> None:
    await scene.fleet.make_live(BTC)
    await scene.recorder.start()
    for sequence in range(8, 12):
        await scene.write(sequence)
        await scene.count()
        await scene.client.xtrim(scene.fleet.keys.deltas(scene.fleet.keys.shard(BTC)), maxlen=0, approximate=False)
    await scene.recorder.finish()
    assert scene.kinds() == [Server, *[Entry] * 4, ReadToEnd]


async def test_a_server_that_lost_its_tail_is_told_and_the_fork_is_on_the_tape(scene: Scene) -> None:
    await scene.fleet.make_live(BTC)
    await scene.recorder.start()
    await scene.write(8)
    await scene.client.save()
    await scene.write(9)
    await scene.recorder.step()
    await scene.server.kill()
    assert not await scene.recorder.step()
    await scene.server.start()
    async with small_fleet(scene.server.url, shards=2) as successors:
        await scene.client.delete(successors.keys.lease(BTC))
        await successors.own(BTC)
        await successors.publish(BTC, Reset(pair=BTC, received_us=5, reason=ResetReason.TAKEOVER))
        await wait_until(scene.recorder.step, "the new server answers the recorder")
        await scene.recorder.finish()

    assert scene.kinds() == [Server, Entry, Entry, Server, Remade, Entry, ReadToEnd]
    eight, nine, again = scene.entries
    assert (nine.n, again.n) == (eight.n + 1, eight.n + 1)
    assert again.epoch > nine.epoch
    report = check(History(tape=scene.tape), rule_of=lambda _: IMAGES)
    assert [str(violation) for violation in report.violations] == []
    assert report.figures["forks"] == 1


async def test_a_server_without_the_tape_of_the_first_is_judged_like_any_other(scene: Scene) -> None:
    await scene.fleet.make_live(BTC)
    await scene.recorder.start()
    await scene.write(8)
    await scene.recorder.step()
    await scene.server.kill()
    await scene.server.start()
    async with small_fleet(scene.server.url, shards=2) as successors:
        await successors.make_live(BTC)
        await wait_until(scene.recorder.step, "the new server answers the recorder")
        await scene.recorder.finish()
    assert scene.kinds() == [Server, Entry, Server, Remade, Entry, ReadToEnd]
    unexplained = check(History(tape=scene.tape), rule_of=lambda _: IMAGES).violations
    assert [violation.invariant for violation in unexplained] == [Invariant.SEQUENCES], (
        "no daemon said that its cell was gone"
    )
