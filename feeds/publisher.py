"""Events to Redis: one call a shard at a time, many pairs and events in it (redis-protocol.md §2, §4).

Events wait in their pair's outbox until the next tick, so that a call carries many; while a shard's call is unanswered its
events gather for the next one. A slow Redis therefore makes calls larger, then pairs conflate (outbox); memory stays bounded.

Whatever makes ownership doubtful (a broken connection, a refusal) stops the pair's line at once and is told to `on_doubt`;
the line goes on when `granted` brings a new token.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from redis.exceptions import RedisError

from books.events import Event
from feeds.outbox import Batch, Outbox, Phase
from feeds.quarantine import fault_text
from feeds.source import NO_BOOK, Source
from feeds.warm import Continuity, WarmLine
from fleet.cell import Cell
from fleet.errors import ConnectionLost, FleetError
from fleet.evidence import NO_EVIDENCE, Evidence
from fleet.keys import Keys
from fleet.lease import trades_field
from fleet.logs import one_line
from fleet.ordered_cluster import Ordered
from fleet.pair import Pair
from fleet.scripts import PublishLine, Touched, Verdict, Word, publish, touch

log = logging.getLogger(__name__)

LAGS_KEPT = 20_000
TICK_S = 0.005  # two to eight messages a call at 10-50 messages/s a pair; costs half of it in latency


class Books(Protocol):
    """Where the publisher finds a pair's book: its state after every event handed to `add`."""

    def __call__(self, pair: Pair) -> Source: ...


class _Shard:
    """The lines of one shard that have something to send."""

    def __init__(self) -> None:
        self.due: dict[Outbox, None] = {}
        self.ready = asyncio.Event()


class Publisher:
    """All lines of one daemon. Counters: calls, lines, events accepted, refusals."""

    def __init__(
        self,
        connection: Ordered,
        keys: Keys,
        *,
        book_ttl_ms: int,
        owner: str,
        books: Books,
        on_doubt: Callable[[Pair, str], None],
        wall_us: Callable[[], int],
        on_fault: Callable[[Pair, str], None] = lambda pair, reason: None,
        evidence: Evidence = NO_EVIDENCE,
    ) -> None:
        self.calls = self.lines = self.events = self.refusals = self.deltas = 0
        self._connection = connection
        self._keys = keys
        self._book_ttl_ms = book_ttl_ms
        self._owner = owner
        self._books = books
        self._on_doubt = on_doubt
        self._on_fault = on_fault
        self._wall_us = wall_us
        self._evidence = evidence
        self._shards = [_Shard() for _ in range(keys.shards)]
        self._outboxes: dict[Pair, tuple[Outbox, Outbox | None]] = {}
        self._shard_of: dict[Pair, _Shard] = {}
        self._tick: asyncio.Future[None] | None = None
        self._lags: deque[float] = deque(maxlen=LAGS_KEPT)
        self._worst_lag_ms = 0.0
        self._closed_seams = 0

    # --- lines --------------------------------------------------------------------------------------------------------

    def open(self, pair: Pair, depth: str, *, trades: bool) -> None:
        """Keep lines for a pair; nothing is sent before `granted`."""
        book = Outbox(pair, owner=self._owner, depth=depth)
        self._shard_of[pair] = self._shards[self._keys.shard(pair)]
        self._outboxes[pair] = (book, Outbox(pair, owner=self._owner, depth=depth, trades=True) if trades else None)

    def close(self, pair: Pair) -> None:
        """Forget a pair and whatever waits of it."""
        for outbox in self._outboxes.pop(pair, ()):
            if outbox is not None:
                self._closed_seams += outbox.seams
                outbox.close()
                self._shard_of[pair].due.pop(outbox, None)
        self._shard_of.pop(pair, None)

    def unpublished(self, pair: Pair, continuity: Continuity | None) -> WarmLine | None:
        """What we have of a pair that we own or owned: the book, and our own events that nobody said were taken."""
        outbox = self.outbox(pair)
        rest = None if outbox is None else outbox.unpublished()
        if continuity is None or rest is None:
            return None
        line = WarmLine(pair, continuity, self._books(pair))
        line.begin_at(*rest)
        if outbox is not None:
            line.saw(outbox.token, outbox.n)
        return line

    def lingering(self, pair: Pair, continuity: Continuity | None) -> WarmLine | None:
        """The same for a pair that is lost and stays warm; where nothing can be said of its events, it holds none yet."""
        outbox = self.outbox(pair)
        if continuity is None or outbox is None:
            return None
        line = self.unpublished(pair, continuity) or WarmLine(pair, continuity, self._books(pair))
        line.saw(outbox.token, outbox.n)
        return line

    def outbox(self, pair: Pair) -> Outbox | None:
        """The pair's book line."""
        lines = self._outboxes.get(pair)
        return lines[0] if lines else None

    def granted(
        self, pair: Pair, token: int, cells: tuple[Cell | None, ...], n: tuple[int, ...], warm: WarmLine | None = None
    ) -> None:
        """A new token for all lines of the pair; `warm`: what was held of it while another published it."""
        for outbox, before, number in zip(self._outboxes[pair], cells, n, strict=False):
            if outbox is not None:
                outbox.granted(token, number, before, self._source(outbox), self._wall_us(), warm)
                self._wake(outbox)

    def add(self, event: Event, *, trade: bool = False) -> None:
        """The hot path: queue an event of a pair that is open. Events of other pairs are late and dropped."""
        lines = self._outboxes.get(event.pair)
        if lines is None:
            return
        outbox = lines[1] if trade else lines[0]
        if outbox is not None:
            outbox.add(event)
            self._wake(outbox)

    def _wake(self, outbox: Outbox) -> None:
        shard = self._shard_of[outbox.pair]
        if outbox not in shard.due:
            shard.due[outbox] = None
            shard.ready.set()

    def _source(self, outbox: Outbox) -> Source:
        return NO_BOOK if outbox.is_trades else self._books(outbox.pair)

    @property
    def waiting(self) -> int:
        """Events not yet accepted, of all pairs."""
        return sum(outbox.waiting for lines in self._outboxes.values() for outbox in lines if outbox is not None)

    @property
    def conflations(self) -> int:
        """How often a pair's waiting events were replaced by a snapshot."""
        return sum(lines[0].conflations for lines in self._outboxes.values())

    @property
    def seams(self) -> int:
        """Books that were published whole where one connection's deltas could not be proved to follow another's."""
        return self._closed_seams + sum(lines[0].seams for lines in self._outboxes.values())

    def seams_of(self, pair: Pair) -> int:
        """The same of one pair, since it was opened; 0 where it is not."""
        outbox = self.outbox(pair)
        return 0 if outbox is None else outbox.seams

    @property
    def dropped_trades(self) -> int:
        """Trades that were not published: too many waited, or whether they had arrived could not be known."""
        return sum(lines[1].dropped_trades for lines in self._outboxes.values() if lines[1] is not None)

    # --- sending ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._keys.shards):
                group.create_task(self._serve(number), name=f"publish shard {number}")

    async def flushed(self) -> None:
        """Wait until every open line has been sent and answered (or has become doubtful)."""
        while any(
            o.waiting for lines in self._outboxes.values() for o in lines if o is not None and o.phase is Phase.OPEN
        ):
            await self._next_tick()

    def _next_tick(self) -> asyncio.Future[None]:
        """One future for everybody who waits: all shards then send in one turn, which is one write to the socket."""
        if self._tick is None or self._tick.done():
            loop = asyncio.get_running_loop()
            self._tick = tick = loop.create_future()
            loop.call_later(TICK_S, _resolve, tick)
        return asyncio.shield(self._tick)

    async def _serve(self, number: int) -> None:
        shard = self._shards[number]
        while True:
            await shard.ready.wait()
            await self._next_tick()
            shard.ready.clear()
            taken = self._take(shard)
            if taken:
                await self._send(number, taken)

    def _take(self, shard: _Shard) -> list[tuple[Outbox, Batch]]:
        taken = []
        now_us = self._wall_us()
        due = list(shard.due)
        shard.due.clear()
        for outbox in due:
            try:
                batch = outbox.take(self._source(outbox), now_us)
            except Exception as error:  # noqa: BLE001 - quarantined, logged, shown: one pair must not end the others
                self._fail(outbox, error)
                continue
            if batch is not None:
                taken.append((outbox, batch))
        return taken

    def _fail(self, outbox: Outbox, error: Exception) -> None:
        """A fault of ours at one line costs its pair: what waits is void, and the pair is held (feeds.quarantine)."""
        log.error("%s: its events cannot be published", outbox.pair, exc_info=error)
        outbox.drop()
        self._on_fault(outbox.pair, fault_text(error))

    async def _send(self, number: int, taken: list[tuple[Outbox, Batch]]) -> None:
        self.calls += 1
        self.lines += len(taken)
        try:
            verdicts = await publish(
                self._connection, self._keys, number, self._book_ttl_ms, [_line(o, b) for o, b in taken]
            )
        except (ConnectionLost, RedisError) as error:
            for outbox, _ in taken:
                self._doubt(outbox, str(error))
            return
        now_us = self._wall_us()
        for (outbox, batch), verdict in zip(taken, verdicts, strict=True):
            self._settle(outbox, batch, verdict)
            if batch.oldest_us:
                lag_ms = (now_us - batch.oldest_us) / 1000
                self._lags.append(lag_ms)
                self._worst_lag_ms = max(self._worst_lag_ms, lag_ms)

    def _settle(self, outbox: Outbox, batch: Batch, verdict: Verdict) -> None:
        if verdict.word in (Word.OK, Word.REWRITE):
            count = len(batch.entries) // 2
            self._evidence.accepted(
                outbox.pair, batch.token, batch.n + 1, batch.n + count, batch.sequence, trades=outbox.is_trades
            )
            if outbox.token != batch.token:
                return  # answered after the line was closed or granted anew: that grant has read the cell
            self.events += count
            outbox.accepted(hash_patched=verdict.word is Word.OK)
            if outbox.waiting or verdict.word is Word.REWRITE:
                self._wake(outbox)
            return
        self.refusals += 1
        self._evidence.refused(outbox.pair, batch.token, batch.n, verdict.word, verdict.cell, trades=outbox.is_trades)
        reason = f"{verdict.word}: the tail stands at {verdict.cell}, we at {batch.token} {batch.n}"
        if outbox.phase is not Phase.OPEN or outbox.token != batch.token:
            # in doubt already (a pause, a lost lease), or granted anew since: that grant has read the cell
            log.info("%s: a late write was refused: %s", outbox.pair, reason)
            return
        self._doubt(outbox, reason)

    def doubt(self, pair: Pair) -> None:
        """Stop all lines of a pair until `granted`: they share their token, so what is doubted for one is for all."""
        for outbox in self._outboxes.get(pair, ()):
            if outbox is not None:
                outbox.doubt()

    def _doubt(self, outbox: Outbox, reason: str) -> None:
        if outbox.phase is Phase.OPEN:
            self.doubt(outbox.pair)
            self._on_doubt(outbox.pair, reason)

    def doubt_all(self, reason: str) -> None:
        """The connection is gone: nothing may be sent under the tokens we hold."""
        for lines in self._outboxes.values():
            for outbox in lines:
                if outbox is not None:
                    self._doubt(outbox, reason)

    def take_worst_lag_ms(self) -> float:
        """The longest that an event took, from its frame's arrival to Redis' answer, since this was last asked."""
        worst, self._worst_lag_ms = self._worst_lag_ms, 0.0
        return worst

    def take_lags(self) -> list[float]:
        """Milliseconds from a frame's arrival to Redis' answer, of the oldest event of each line sent since last asked."""
        lags = list(self._lags)
        self._lags.clear()
        return lags

    # --- quiet books --------------------------------------------------------------------------------------------------

    async def touch(self, pairs: list[Pair]) -> None:
        """Say that the books of `pairs` are current although nothing came: their feeds are proved alive."""
        by_shard: dict[int, list[tuple[Pair, int]]] = {}
        for pair in pairs:
            outbox = self.outbox(pair)
            if outbox is not None and outbox.flushed:
                by_shard.setdefault(self._keys.shard(pair), []).append((pair, outbox.token))
        async with asyncio.TaskGroup() as group:  # a node that hangs does not delay the others
            for number, claims in by_shard.items():
                group.create_task(self._touch_shard(number, claims), name=f"touch shard {number}")

    async def _touch_shard(self, number: int, claims: list[tuple[Pair, int]]) -> None:
        try:
            answers = await touch(self._connection, self._keys, number, self._book_ttl_ms, claims)
        except (RedisError, FleetError, OSError) as error:
            log.debug("touch: %s", one_line(error))  # the connection's own loop tells of outages
            return
        for (pair, token), answer in zip(claims, answers, strict=True):
            outbox = self.outbox(pair)
            if outbox is None or outbox.token != token:
                continue
            if answer is Touched.FENCED:
                self._doubt(outbox, "FENCED: another daemon holds a newer token")
            elif answer is Touched.GONE:
                outbox.hash_gone()
                self._wake(outbox)


def _resolve(tick: asyncio.Future[None]) -> None:
    if not tick.done():
        tick.set_result(None)


def _line(outbox: Outbox, batch: Batch) -> PublishLine:
    label = outbox.pair.label
    if outbox.is_trades:
        return PublishLine(trades_field(outbox.pair), label, batch.token, batch.n, batch.entries, "-", True)
    return PublishLine(
        label, label, batch.token, batch.n, batch.entries, batch.sequence, False, outbox.pair,
        batch.based_on, batch.levels, batch.fields,
    )  # fmt: skip
