"""Every connection of a daemon. The feed role says which pairs; what becomes of them arrives as events."""

import asyncio
import random
from collections.abc import Callable, Iterator

from books.events import Event
from feeds.instruments import budget_name
from feeds.link import Borrow, nothing_to_borrow
from feeds.market import Market, PairState, Wanted
from feeds.outputs import Failure, FailureKind
from feeds.pair_feed import PairFeed
from feeds.rest import Budget, Rest
from feeds.venue import Bootstrap, RestRequest, Venue
from feeds.warm import Continuity
from fleet import backoff
from fleet.config import Endpoint
from fleet.errors import ConfigError
from fleet.pair import Pair

PAIRS_PER_CONNECTION = 40


class Pool:
    """`run` until cancelled; `subscribe` and `unsubscribe` at any time, also before.

    find_venue(venue, market)    the venue's object; ConfigError: there is none
    endpoint(venue, market)      overrides of its addresses (Settings.endpoint)
    budget                       shared limits: names VENUE:MARKET:rest (weight) and VENUE:MARKET:connect (sockets)
    on_event(pair, event)        synchronous and cheap; `feed(pair).book` is the book after all events given so far as soon
                                 as the events of one frame have been given
    on_refused(pair, reason)     the pair cannot be had: unknown, or refused by the venue; it stays wanted and is tried again
                                 when the instruments were refreshed
    on_sample(venue, market, frame, reason)    a message that could not be read
    borrow(pair)                 the pair's book as another daemon publishes it now, in place of a request; a Failure: there is
                                 none yet, ask again later; None: ask the venue
    """

    def __init__(
        self,
        *,
        find_venue: Callable[[str, str], Venue],
        endpoint: Callable[[str, str], Endpoint],
        budget: Budget,
        on_event: Callable[[Pair, Event], None],
        on_refused: Callable[[Pair, str], None],
        on_sample: Callable[[str, str, bytes, str], None],
        rng: random.Random,
        borrow: Borrow = nothing_to_borrow,
        pairs_per_connection: int = PAIRS_PER_CONNECTION,
        first_delay_s: float = backoff.FIRST_S,
    ) -> None:
        self._borrow = borrow
        self._find_venue = find_venue
        self._endpoint = endpoint
        self._budget = budget
        self._on_event = on_event
        self._on_refused = on_refused
        self._on_sample = on_sample
        self._rng = rng
        self._pairs_per_connection = pairs_per_connection
        self._first_delay_s = first_delay_s
        self._gate = asyncio.Event()
        self._gate.set()
        self._rest = Rest(budget)
        self._markets: dict[tuple[str, str], Market] = {}
        self._impossible: dict[Pair, str] = {}
        self._group: asyncio.TaskGroup | None = None

    def __repr__(self) -> str:
        return f"<Pool {list(self._markets.values())}>"

    async def run(self) -> None:
        """Own every task of every connection until cancelled."""
        try:
            async with self._rest, asyncio.TaskGroup() as group:
                self._group = group
                for market in self._markets.values():
                    group.create_task(market.run(), name=f"market {market.venue.name} {market.venue.market}")
                await asyncio.Event().wait()
        finally:
            self._group = None

    def subscribe(self, pair: Pair, depth: str, channels: frozenset[str], priority: int = 1) -> None:
        """Want a pair, or want it otherwise. `channels`: of book, bbo, trades; `priority` 0: traded."""
        key = (pair.venue, pair.market)
        market = self._markets.get(key)
        if market is None:
            try:
                market = self._make(pair.venue, pair.market)
            except ConfigError as error:
                self._impossible[pair] = str(error)
                self._on_refused(pair, str(error))
                return
            self._markets[key] = market
            if self._group is not None:
                self._group.create_task(market.run(), name=f"market {pair.venue} {pair.market}")
        market.subscribe(pair, Wanted(depth, channels, priority))

    def unsubscribe(self, pair: Pair) -> None:
        """Do not want it any more. A live book ends with Reset(unsubscribed)."""
        self._impossible.pop(pair, None)
        market = self._markets.get((pair.venue, pair.market))
        if market is not None:
            market.unsubscribe(pair)

    def fail(self, pair: Pair, reason: str) -> None:
        """Something behind the feeds failed at this pair (its outbox): it is held for a while, and tried again."""
        market = self._markets.get((pair.venue, pair.market))
        if market is not None:
            market.fail(pair, reason)

    def is_held(self, pair: Pair) -> bool:
        """Whether a pair waits in quarantine: it must not be passed to others."""
        market = self._markets.get((pair.venue, pair.market))
        return market is not None and market.ward.holds(pair)

    def feed(self, pair: Pair) -> PairFeed | None:
        """The pair's book and counters; None while it has no connection (yet). Ask again each time: it changes with it."""
        market = self._markets.get((pair.venue, pair.market))
        return None if market is None else market.feed(pair)

    def continuity(self, pair: Pair, depth: str) -> Continuity | None:
        """What proves that the deltas of two connections follow each other; None: the pair cannot be had at all."""
        market = self._markets.get((pair.venue, pair.market))
        if market is None:
            return None
        channel = market.venue.book_channel(depth)
        return Continuity(channel.rule, market.venue.sequence_comparable, channel.bootstrap is Bootstrap.IMAGES)

    def proved(self, pair: Pair, now_ms: float) -> bool:
        """Whether the pair's connection was heard within liveness.PROVED_MS; `now_ms` monotonic."""
        market = self._markets.get((pair.venue, pair.market))
        return market is not None and market.proved(pair, now_ms)

    def hold(self) -> None:
        """The publisher is behind: read nothing more from any socket until `release`. Idempotent. Seconds, not minutes: a
        venue cuts who does not read, since its pings are not answered either."""
        self._gate.clear()

    def release(self) -> None:
        """Read again."""
        self._gate.set()

    def states(self) -> Iterator[PairState]:
        """Every wanted pair, for showing."""
        for market in self._markets.values():
            yield from market.states()
        for pair, reason in self._impossible.items():
            yield PairState(
                pair=pair, state="refused", reason=reason, shortfall=None, connection="", sequence=None, messages=0,
                rate_per_s=0.0, gaps=0, resyncs=0, crossed=0, silences=0,
            )  # fmt: skip

    def hears(self) -> dict[str, bool | None]:
        """`venue:market` → Market.hears."""
        return {f"{venue}:{market}": one.hears() for (venue, market), one in self._markets.items()}

    async def knock(self, group: str) -> bool:
        """Whether the host of a market's sockets answers anything at all, which no proxy between us can do in its place. Counted
        as a small request and not as a connect: of those some venues allow one in three seconds, and the pairs need them."""
        venue, _, market = group.partition(":")
        try:
            found, override = self._find_venue(venue, market), self._endpoint(venue, market)
        except ConfigError:
            return False
        if off_because(found, override) is not None:
            return False
        scheme, _, host = (override.ws_url or found.ws_url).partition("://")
        base_url = f"{scheme.replace('ws', 'http', 1)}://{host.partition('/')[0]}"
        answer = await self._rest.ask(base_url, RestRequest("/", 1), budget_name(found, "rest"), priority=1)
        return not isinstance(answer, Failure) or answer.kind is FailureKind.REFUSED

    @property
    def markets(self) -> list[Market]:
        """The venue × markets in use."""
        return list(self._markets.values())

    def _make(self, venue: str, market: str) -> Market:
        found, override = self._find_venue(venue, market), self._endpoint(venue, market)
        return Market(
            found,
            ws_url=override.ws_url or found.ws_url,
            rest_url=override.rest_url or found.rest_url,
            rest=self._rest,
            budget=self._budget,
            on_event=self._on_event,
            on_refused=self._on_refused,
            on_sample=self._on_sample,
            borrow=self._borrow,
            gate=self._gate,
            rng=self._rng,
            pairs_per_connection=self._pairs_per_connection,
            off_because=off_because(found, override),
            first_delay_s=self._first_delay_s,
        )


def off_because(venue: Venue, override: Endpoint) -> str | None:
    """Why a market is not used, and the switch that changes it; None if it is."""
    switch = f"FLEET_VENUES__{venue.name.upper()}__{venue.market.upper()}__ENABLED"
    if override.enabled is False:
        return f"{venue.name} {venue.market} is turned off by {switch}=false"
    if venue.traits.off_because is None or override.enabled:
        return None
    return (
        f"{venue.name} {venue.market} is off by default: {venue.traits.off_because}; {switch}=true uses it all the same"
    )
