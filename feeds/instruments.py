"""Metadata of one venue × market: loaded before anything is subscribed, refreshed every hour, for ever retried."""

import asyncio
import difflib
import logging
import random
from collections import deque
from collections.abc import Callable

import msgspec

from feeds.outputs import Failure, FailureKind
from feeds.quarantine import fault_text
from feeds.rest import Rest
from feeds.venue import Instruments, InstrumentStatus, RestRequest, Undecodable, Venue
from fleet import backoff
from fleet.pair import Pair

REFRESH_S = 3600.0
PAGES_MOST = 100  # a venue that always names another page must not keep us for ever

_log = logging.getLogger(__name__)


class InstrumentLoader:
    """`instruments` is None until the first load, and `reason` says why; later failures keep what was loaded.

    An instrument that disappears from the venue's list is kept, as delisted: nobody subscribes it any more, but a book that
    lives goes on, since a list that came short must not end it.
    """

    def __init__(
        self, venue: Venue, base_url: str, rest: Rest, rng: random.Random, *, refresh_s: float = REFRESH_S
    ) -> None:
        self.venue = venue
        self.instruments: Instruments | None = None
        self.reason = "the venue's instruments are not loaded yet"
        self.loads = 0
        self.failures = 0
        self._unanswered = False  # the last failure was the venue's silence or trouble, not a bad answer
        self._base_url = base_url
        self._rest = rest
        self._rng = rng
        self._refresh_s = refresh_s

    def __repr__(self) -> str:
        count = "no" if self.instruments is None else len(self.instruments.by_pair)
        return f"<InstrumentLoader {self.venue.name}:{self.venue.market} {count} instruments>"

    async def run(self, on_loaded: Callable[[Instruments], None]) -> None:
        """Until cancelled. `on_loaded` is called after every load that succeeded."""
        delays = backoff.delays(self._rng)
        while True:
            failure = await self._load()
            if failure is None:
                delays = backoff.delays(self._rng)
                if self.instruments is not None:
                    on_loaded(self.instruments)
                await asyncio.sleep(self._refresh_s * (0.9 + 0.2 * self._rng.random()))
                continue
            self.failures += 1
            self.reason = f"the venue's instruments could not be loaded: {failure}"
            _log.warning("%s %s: %s", self.venue.name, self.venue.market, self.reason)
            delay_s = next(delays)
            if self._unanswered:  # it may be back any moment; an answer that is of no use will not be better so soon
                delay_s = min(delay_s, backoff.VENUE_CAP_S * (0.5 + self._rng.random() / 2))
            await asyncio.sleep(delay_s)

    async def _load(self) -> str | None:
        """None, or what went wrong."""
        bodies: list[bytes] = []
        self._unanswered = False
        try:
            requests = deque(self.venue.instruments_requests())
            while requests:
                request = requests.popleft()
                answer = await ask(self._rest, self.venue, self._base_url, request)
                if isinstance(answer, Failure):
                    self._unanswered = answer.kind is not FailureKind.REFUSED
                    return f"{answer.kind}: {answer.text}"
                bodies.append(answer)
                more = self.venue.more_instruments(request, answer)
                if more is not None and len(bodies) >= PAGES_MOST:
                    return f"more than {PAGES_MOST} pages"
                if more is not None:
                    requests.appendleft(more)
            loaded = self.venue.parse_instruments(bodies)
            if not loaded.by_pair:
                return "the list is empty"
            merged = loaded if self.instruments is None else _kept(self.instruments, loaded)
        except Undecodable as error:
            return str(error)
        except Exception as error:  # noqa: BLE001  # quarantined, shown, tried again: it must not end other venues
            _log.exception("%r: a fault of our own in reading the metadata", self)
            return fault_text(error)
        self.instruments = merged
        self.loads += 1
        self.reason = ""
        return None


def _kept(old: Instruments, new: Instruments) -> Instruments:
    """The new instruments, and as delisted those of the old that are gone from the list."""
    gone = [
        msgspec.structs.replace(one, status=InstrumentStatus.DELISTED)
        for one in old.by_pair.values()
        if one.pair not in new.by_pair and one.symbol not in new.by_symbol
    ]
    if not gone:
        return new
    merged = Instruments([*new.by_pair.values(), *gone])
    merged.refused = new.refused
    return merged


async def ask(rest: Rest, venue: Venue, base_url: str, request: RestRequest, *, priority: int = 0) -> bytes | Failure:
    """One request within the venue's own budget and rules of banning."""
    return await rest.ask(
        base_url,
        request,
        budget_name(venue, "rest"),
        priority=priority,
        forbidden_ban_ms=venue.limits.forbidden_ban_ms,
    )


def budget_name(venue: Venue, what: str) -> str:
    """`VENUE:MARKET:rest` (weight) or `VENUE:MARKET:connect` (sockets)."""
    return f"{venue.name}:{venue.market}:{what}"


def why_unknown(instruments: Instruments, pair: Pair) -> str:
    """For people: the pair is not among the instruments, and what was perhaps meant."""
    compact = pair.pair.replace("/", "")
    for symbol, reason in instruments.refused.items():
        if symbol in (pair.pair, compact, pair.pair.replace("/", "-"), pair.pair.replace("/", "_")):
            return f"{pair.pair}: {pair.venue} lists {symbol}, which is not taken: {reason}"
    names = [known.pair for known in instruments.by_pair]
    near = difflib.get_close_matches(pair.pair, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{pair.pair} is not among the {len(names)} {pair.market} pairs of {pair.venue}{hint}"
