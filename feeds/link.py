"""One connection at work: a session, its socket, its fetches. Carries out what the session says and decides nothing."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from books.events import Event, Snapshot
from feeds.connection import Connection, Down
from feeds.instruments import ask, budget_name
from feeds.outputs import Failure, Fetch, Output, PairRefused, Ping, Reconnect, Replace, Sample, Send, is_event
from feeds.rest import Budget, Rest
from feeds.session import Session
from feeds.venue import Instrument, Undecodable
from fleet import backoff, clock
from fleet.errors import FleetError
from fleet.pair import Pair

TICK_S = 0.2
TICK_LEAST_S = 0.005  # when requests are waiting for their turn

_log = logging.getLogger(__name__)


def no_book(pair: Pair, wall_us: int) -> Snapshot | None:
    """Nobody has a book to lend."""
    return None


Borrow = Callable[[Pair], Awaitable[Snapshot | Failure | None]]


async def nothing_to_borrow(pair: Pair) -> Snapshot | Failure | None:
    """Nobody else publishes the pair."""
    return None


class LinkOwner:
    """What a link reports to: plain functions, called synchronously.

    event(pair, event)             a pair's event (hot path)
    refused(link, pair, reason)    the venue will not give the pair
    sample(link, frame, reason)    a message that could not be read
    ending(link, reason)           the connection will end soon: open its successor
    """

    __slots__ = ("ending", "event", "refused", "sample")

    def __init__(
        self,
        event: Callable[[Pair, Event], None],
        refused: Callable[["Link", Pair, str], None],
        sample: Callable[["Link", bytes, str], None],
        ending: Callable[["Link", str], None],
    ) -> None:
        self.event = event
        self.refused = refused
        self.sample = sample
        self.ending = ending


class Link:
    """A session and its socket. `run` until cancelled; `add` and `remove` at any time.

    status    in words: connected, or why not
    emit      where events go; the owner's `event` unless a handover stands between
    lend      a pair's book as another connection has it now, in place of a fetch; None: fetch
    """

    def __init__(
        self,
        session: Session,
        *,
        ws_url: str,
        rest_url: str,
        rest: Rest,
        budget: Budget,
        owner: LinkOwner,
        gate: asyncio.Event,
        rng: random.Random,
        borrow: Borrow = nothing_to_borrow,
        priority: Callable[[Pair], int] = lambda _: 1,
        first_delay_s: float = backoff.FIRST_S,
    ) -> None:
        self.session = session
        self.owner = owner
        self.emit = owner.event
        self.lend: Callable[[Pair, int], Snapshot | None] = no_book
        self.status = "not connected yet"
        self.reconnects = 0
        self.faults = 0
        self._ws_url = ws_url
        self._rest_url = rest_url
        self._rest = rest
        self._budget = budget
        self._borrow = borrow
        self._gate = gate
        self._rng = rng
        self._priority = priority
        self._group: asyncio.TaskGroup | None = None
        self._heard_ms = 0.0
        venue = session.venue
        self._connect_budget = budget_name(venue, "connect")
        self.connection = Connection(
            f"{ws_url} ({session.route})",
            self,
            gate=gate,
            admit=self._admit,
            rng=rng,
            first_delay_s=first_delay_s,
        )

    def __repr__(self) -> str:
        return f"<Link {self.session!r} {self.status}>"

    async def run(self) -> None:
        """Until cancelled. A fault of our own (a decoder's bug) costs this connection alone: it starts over with backoff."""
        delays = backoff.delays(self._rng)
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    self._group = group
                    group.create_task(self._tick(), name=f"tick {self.connection.url}")
                    await self.connection.run()
            except* Exception as faults:  # noqa: BLE001  # quarantined, counted, shown: one venue must not end the others
                self.faults += 1
                first = _first(faults)
                self.status = f"our own fault: {type(first).__name__}: {first}"[:300]
                _log.error("%r failed and starts over", self, exc_info=first)
            finally:
                self._group = None
                self._close(self.status)
            await asyncio.sleep(next(delays))

    # ── pairs ────────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> None:
        """Want a pair here, or want it otherwise."""
        self._carry_out(self.session.add(instrument, depth, channels, clock.wall_us(), clock.mono_ms()))

    def remove(self, pair: Pair) -> None:
        """Do not want it any more; a live book ends with Reset(unsubscribed)."""
        self._carry_out(self.session.remove(pair, clock.wall_us(), clock.mono_ms()))

    def finish(self, reason: str) -> None:
        """The link's task has ended or will not run again: whatever is live is reset."""
        self._close(reason)

    # ── connection.Handler ───────────────────────────────────────────────────────────────────────────────────────

    def opened(self) -> None:
        """The socket is up."""
        self.status = "connected"
        self._carry_out(self.session.opened(clock.mono_ms()))

    def received(self, frame: bytes) -> None:
        """A frame (hot path)."""
        outputs = self.session.receive(frame, clock.wall_us(), clock.mono_ms())
        if outputs:
            self._carry_out(outputs)

    def down(self, down: Down) -> bool:
        """The socket is gone, or could not be had."""
        good = self.session.had_data()
        self.reconnects += 1
        self._close(down.reason)
        _log.info("%s is down: %s", self.connection.url, down.reason)
        if down.retry_after_ms and self._group is not None:
            self._group.create_task(self._ban(down.retry_after_ms), name="ban connects")
        return good

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _close(self, reason: str) -> None:
        self.status = reason
        self._carry_out(self.session.closed(reason, clock.wall_us()))

    def _carry_out(self, outputs: list[Output]) -> None:
        for output in outputs:
            if is_event(output):
                self.emit(output.pair, output)
            elif isinstance(output, Send):
                self.connection.send(output.text)
            elif isinstance(output, Ping):
                self.connection.ping()
            elif isinstance(output, Fetch):
                lent = self.lend(output.pair, clock.wall_us())
                if lent is not None:
                    self._carry_out(self.session.snapshot(output, lent, clock.wall_us(), clock.mono_ms()))
                elif self._group is not None:
                    self._group.create_task(self._fetch(output), name=f"fetch {output.request.path}")
            elif isinstance(output, Reconnect):
                self.connection.drop(output.reason)
            elif isinstance(output, Replace):
                self.owner.ending(self, output.reason)
            elif isinstance(output, Sample):
                self.owner.sample(self, output.frame, output.reason)
            elif isinstance(output, PairRefused):
                self.owner.refused(self, output.pair, output.reason)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(min(TICK_S, max(TICK_LEAST_S, self.session.wait_ms(clock.mono_ms()) / 1000)))
            now_ms = clock.mono_ms()
            if self.connection.take_heard():
                self._heard_ms = now_ms
            self._carry_out(
                self.session.tick(now_ms, clock.wall_us(), heard_ms=self._heard_ms, reading=self._gate.is_set())
            )

    async def _fetch(self, fetch: Fetch) -> None:
        venue, priority = self.session.venue, self._priority(fetch.pair)
        answer: Snapshot | bytes | Failure | None = (
            await self._borrow(fetch.pair) if venue.sequence_comparable else None
        )
        if answer is None:
            answer = await ask(self._rest, venue, self._rest_url, fetch.request, priority=priority)
        self._carry_out(self.session.snapshot(fetch, answer, clock.wall_us(), clock.mono_ms()))

    async def _admit(self) -> Down | None:
        """Wait for a connect; if the shared budget cannot be asked, wait as long as a share of ours would take. Then find
        the address, with a ticket where the venue wants one for every socket."""
        try:
            await self._budget.take(self._connect_budget, 1)
        except FleetError as error:
            _log.warning("the shared budget cannot be asked: %s", error)
            await asyncio.sleep((1 + self._rng.random()) / self.session.venue.limits.connects_per_s)
        venue, route = self.session.venue, self.session.route
        request = venue.ticket_request(route)
        ticket = None if request is None else await ask(self._rest, venue, self._rest_url, request)
        if isinstance(ticket, Failure):
            return Down(f"no ticket for a socket: {ticket.kind}: {ticket.text}", retry_after_ms=ticket.retry_after_ms)
        try:
            self.connection.url = venue.socket_url(self._ws_url, route, ticket)
        except Undecodable as error:
            return Down(f"no ticket for a socket: {error}")
        return None

    async def _ban(self, ms: int) -> None:
        try:
            await self._budget.ban(self._connect_budget, ms)
        except FleetError as error:
            _log.warning("a ban of %d ms could not be shared: %s", ms, error)


def _first(faults: BaseExceptionGroup[Exception]) -> BaseException:
    """The innermost first exception of a group."""
    fault: BaseException = faults
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
