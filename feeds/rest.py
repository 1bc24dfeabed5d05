"""Requests to venues, within their weight. The only `httpx`.

Never raises to its caller but for cancellation: whatever goes wrong is a `Failure` (feeds.outputs). A venue that says 429 or
418 (or 403, where that means it) bans everybody behind our address for the time it names, through the shared budget.
Requests that wait for budget go in order of priority (0 first: pairs that are traded), then of arrival. While nobody answers
behind a budget one request at a time is a probe, and the others wait without spending (`feeds.outage`).
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol, Self

import httpx

from feeds.outage import Outage
from feeds.outputs import Failure, FailureKind
from feeds.venue import RestRequest
from fleet import clock
from fleet.errors import FleetError

MAX_BODY = 64 * 1024 * 1024  # bytes; the metadata of the largest venue is about 20 MB
TIMEOUT_S = 15.0  # of the whole request; waiting for budget does not count
CONCURRENT = 4  # requests of one budget at a time
BANNED_MS = {429: 10_000, 418: 120_000}  # where the venue names no time
LOOK_S = 0.1  # how often the next in line sees whether the venue is back
NO_ANSWER = frozenset({FailureKind.SERVER, FailureKind.TIMEOUT, FailureKind.NETWORK})
LONGEST_BAN_MS = 3 * 24 * 3600 * 1000


class Budget(Protocol):
    """Shared limits by name, such as `VENUE:MARKET:rest`; kept for everybody behind one egress address."""

    async def take(self, name: str, cost: float) -> None:
        """Wait until `cost` may be spent, and spend it."""
        ...

    async def ban(self, name: str, ms: int) -> None:
        """Nobody may spend for `ms`."""
        ...


class _Line:
    """Who is next: at most `places` inside, the rest by priority, then in order of arrival."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._arrivals = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, priority: int) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
        else:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (priority, next(self._arrivals), place))
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._pass_on()  # it was given to us while we were being cancelled
                raise
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            place = heapq.heappop(self._waiting)[2]
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


class Rest:
    """`async with Rest(budget) as rest`: one client for all venues (connections are kept by host)."""

    def __init__(
        self,
        budget: Budget,
        *,
        timeout_s: float = TIMEOUT_S,
        max_body: int = MAX_BODY,
        rng: random.Random | None = None,
    ) -> None:
        self._budget = budget
        self._rng = rng or random.Random()
        self._outages: dict[str, Outage] = {}
        self._timeout_s = timeout_s
        self._max_body = max_body
        self._client = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False)
        self._lines: dict[str, _Line] = {}
        self._spenders: dict[str, _Line] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def ask(
        self,
        base_url: str,
        request: RestRequest,
        budget: str,
        *,
        priority: int = 0,
        forbidden_ban_ms: int | None = None,
    ) -> bytes | Failure:
        """The body, or why there is none. Waits for the budget named `budget` first, as long as that takes.
        `forbidden_ban_ms`: HTTP 403 means too many requests, and is waited out by everybody."""
        banned_ms = BANNED_MS if forbidden_ban_ms is None else {**BANNED_MS, 403: forbidden_ban_ms}
        async with self._line(self._lines, budget, CONCURRENT).turn(priority):
            outage = self._outages.setdefault(budget, Outage(self._rng))
            probe = False
            try:
                async with self._line(self._spenders, budget, 1).turn(priority):
                    while wait_ms := outage.wait_ms(clock.mono_ms()):  # noqa: ASYNC110 - an outage is pure, it has no event
                        await asyncio.sleep(min(wait_ms / 1000, LOOK_S))
                    probe = outage.ask()
                    await self._budget.take(budget, request.weight)
                answer = await self._ask(base_url + request.path, request.body, budget, banned_ms)
            except FleetError as error:
                return Failure(FailureKind.NETWORK, f"the shared budget cannot be asked: {error}")
            finally:
                outage.unanswered(probe=probe)
            if isinstance(answer, Failure) and answer.kind in NO_ANSWER:
                outage.failed(base_url + request.path, clock.mono_ms(), probe=probe)
            else:
                outage.answered()
            return answer

    @staticmethod
    def _line(lines: dict[str, _Line], name: str, places: int) -> _Line:
        line = lines.get(name)
        if line is None:
            line = lines[name] = _Line(places)
        return line

    async def _ask(self, url: str, body: str | None, budget: str, banned_ms: Mapping[int, int]) -> bytes | Failure:
        method = "GET" if body is None else "POST"
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(method, url, content=body, headers=headers) as response,
            ):
                if response.status_code != 200:
                    return await self._refused(response, budget, banned_ms)
                found = bytearray()
                async for chunk in response.aiter_bytes():
                    found += chunk
                    if len(found) > self._max_body:
                        return Failure(FailureKind.TOO_LARGE, f"{method} {url}: more than {self._max_body} bytes")
                return bytes(found)
        except (TimeoutError, httpx.TimeoutException):
            return Failure(FailureKind.TIMEOUT, f"{method} {url}: no answer within {self._timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            return Failure(FailureKind.NETWORK, f"{method} {url}: {str(error) or type(error).__name__}")

    async def _refused(self, response: httpx.Response, budget: str, banned_ms: Mapping[int, int]) -> Failure:
        status = response.status_code
        head = b""
        async for chunk in response.aiter_bytes():
            head += chunk
            if len(head) >= 200:
                break
        text = f"{response.request.method} {response.url}: HTTP {status}: {' '.join(head[:200].decode(errors='replace').split())}"
        if status in banned_ms:
            wait_ms = _retry_after_ms(response) or banned_ms[status]
            await self._budget.ban(budget, wait_ms)
            return Failure(FailureKind.LIMITED, text, wait_ms)
        if status >= 500:
            return Failure(FailureKind.SERVER, text, _retry_after_ms(response))
        return Failure(FailureKind.REFUSED, text)


def _retry_after_ms(response: httpx.Response) -> int | None:
    """Retry-After in its form of seconds (a date would need a clock and is answered by our own default), or the
    milliseconds until its window ends that some venues send instead."""
    for header, unit_ms in (("Retry-After", 1000), ("gw-ratelimit-reset", 1)):
        text = response.headers.get(header, "")
        if text.isascii() and text.isdecimal():
            return min(int(text[:12]) * unit_ms, LONGEST_BAN_MS)
    return None
