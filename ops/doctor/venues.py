"""Whether the venues can be used from here: their names, their REST service and their sockets, as a daemon would use them.

Of each venue × market: the cheapest of its own requests (of the answer only the beginning is read), and a websocket opened
as far as the venue's consent, with the ticket where it wants one. Everything at once, each step within TIMEOUT_S.
"""

import asyncio
import base64
import contextlib
import secrets
import socket
import ssl
import threading
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import urlsplit

from feeds.outputs import Failure, FailureKind
from feeds.pool import off_because
from feeds.rest import Rest
from feeds.venue import Instrument, InstrumentStatus, RestRequest, Undecodable, Venue
from fleet import clock
from fleet.config import Settings
from fleet.pair import Pair
from ops.doctor.check import Check, Verdict, fail, ok, warn

TIMEOUT_S = 5.0
SLOW_MS = 1000
HEAD_BYTES = 65_536  # a ticket is a few hundred bytes; of a list of instruments the beginning is enough
SAID = 60  # characters of what a venue says to a refusal

REFUSED = {
    401: "check any proxy in between: nothing here needs an account",
    403: "use another address: venues refuse some countries and hosting networks",
    418: "wait: this address is banned for too many requests",
    429: "wait: this address has made too many requests",
    451: "use another address: the venue refuses this country",
}


class Trouble(NamedTuple):
    """What is wrong with one way to a venue, and the mend."""

    detail: str
    mend: str


class Answered(NamedTuple):
    """One way to a venue works."""

    took_ms: float


class _Free:
    """A budget without limits: one request a venue."""

    async def take(self, name: str, cost: float) -> None:
        """At once."""

    async def ban(self, name: str, ms: int) -> None:
        """Nobody is to be kept waiting: the answer is told."""


async def check_venues(settings: Settings, mono_ms: clock.MonoMs) -> list[Check]:
    """One check a venue × market."""
    from feeds import venues

    found = [venues.find(venue, market) for venue, market in venues.names()]
    used = [venue for venue in found if _off(settings, venue) is None]
    unknown = await _unknown_names({urlsplit(url).hostname or "" for venue in used for url in _urls(settings, venue)})
    async with Rest(_Free(), timeout_s=TIMEOUT_S, max_body=HEAD_BYTES) as rest:
        return list(await asyncio.gather(*(_check(settings, venue, unknown, rest, mono_ms) for venue in found)))


def _off(settings: Settings, venue: Venue) -> str | None:
    return off_because(venue, settings.endpoint(venue.name, venue.market))


def _urls(settings: Settings, venue: Venue) -> tuple[str, str]:
    override = settings.endpoint(venue.name, venue.market)
    return override.rest_url or venue.rest_url, override.ws_url or venue.ws_url


async def _check(settings: Settings, venue: Venue, unknown: dict[str, str], rest: Rest, mono_ms: clock.MonoMs) -> Check:
    name = f"{venue.name} {venue.market}"
    if off := _off(settings, venue):
        return Check(name, Verdict.OK, off)
    rest_url, ws_url = _urls(settings, venue)
    hosts = dict.fromkeys(urlsplit(url).hostname or "" for url in (rest_url, ws_url))
    if lost := [host for host in hosts if host in unknown]:
        return fail(name, f"{', '.join(lost)}: {unknown[lost[0]]}", "check DNS and the way to the internet")
    answers = await asyncio.gather(_ask(venue, rest_url, rest, mono_ms), _open(venue, rest_url, ws_url, rest, mono_ms))
    ways = dict(zip(("rest", "socket"), answers, strict=True))
    troubles = {way: answer for way, answer in ways.items() if isinstance(answer, Trouble)}
    if troubles:
        details = "; ".join(f"{way}: {trouble.detail}" for way, trouble in troubles.items())
        return fail(name, details, "; ".join(dict.fromkeys(trouble.mend for trouble in troubles.values())))
    took = {way: answer.took_ms for way, answer in ways.items() if isinstance(answer, Answered)}
    told = ", ".join(f"{way} {took_ms:.0f} ms" for way, took_ms in took.items())
    if max(took.values()) > SLOW_MS:
        return warn(name, told, "move the daemons nearer to the venue")
    return ok(name, told)


# --- names ----------------------------------------------------------------------------------------------------------------


async def _unknown_names(hosts: Iterable[str]) -> dict[str, str]:
    """The hosts that have no address, and why. Each asked for once, in a thread of its own that nobody waits for: a name
    server that is silent keeps its callers for half a minute, and would hold back other names and the end of the program."""
    asked = list(hosts)
    answers = await asyncio.gather(*map(_resolve, asked))
    return {host: why for host, why in zip(asked, answers, strict=True) if why is not None}


async def _resolve(host: str) -> str | None:
    """None, or why the name has no address."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str | None] = loop.create_future()

    def tell(why: str | None) -> None:
        if not answer.done():
            answer.set_result(why)

    def look_up() -> None:
        why = None
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, why)

    threading.Thread(target=look_up, name=f"look up {host}", daemon=True).start()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await answer
    except TimeoutError:
        return f"the name server does not answer within {TIMEOUT_S:g} s"


# --- REST -----------------------------------------------------------------------------------------------------------------


async def _ask(venue: Venue, base_url: str, rest: Rest, mono_ms: clock.MonoMs) -> Answered | Trouble:
    """The cheapest request that needs no symbol."""
    request = min(venue.instruments_requests(), key=lambda request: request.weight)
    started = mono_ms()
    answer = await _body(rest, base_url, request)
    return answer if isinstance(answer, Trouble) else Answered(mono_ms() - started)


async def _body(rest: Rest, base_url: str, request: RestRequest) -> bytes | Trouble:
    """The beginning of the body; empty where the body is longer than we care to read."""
    answer = await rest.ask(base_url, request, f"doctor {base_url}{request.path}")  # nobody's outage delays another
    if not isinstance(answer, Failure):
        return answer
    where = urlsplit(base_url).netloc
    if answer.kind is FailureKind.TOO_LARGE:
        return b""
    if answer.kind is FailureKind.TIMEOUT:
        return Trouble(f"{where} does not answer within {TIMEOUT_S:g} s", "check the firewall and the route")
    _, is_status, said = answer.text.partition(": HTTP ")
    if is_status:
        return _refused(where, said)
    words = answer.text.rpartition(f"{base_url}{request.path}: ")[2]
    return _unreached(where, words, "SSL" in words or "CERTIFICATE" in words.upper())


def _refused(where: str, said: str) -> Trouble:
    """`said`: the status and what follows it."""
    status = int(said[:3]) if said[:3].isdecimal() else 0
    mend = REFUSED.get(status, "check the endpoint's url, and the venue's status page")
    return Trouble(f"{where} says HTTP {said[:SAID].strip()}", mend)


def _unreached(where: str, words: str, is_tls: bool) -> Trouble:
    if is_tls:
        return Trouble(f"{where}: TLS failed: {words}", "check the system's certificates and any proxy")
    return Trouble(f"{where}: {words}", "check the firewall and the endpoint's url")


# --- sockets --------------------------------------------------------------------------------------------------------------


async def _open(venue: Venue, rest_url: str, ws_url: str, rest: Rest, mono_ms: clock.MonoMs) -> Answered | Trouble:
    """A websocket, up to the venue's consent."""
    route = _route(venue)
    started = mono_ms()
    wanted, ticket = venue.ticket_request(route), None
    if wanted is not None:
        body = await _body(rest, rest_url, wanted)
        if isinstance(body, Trouble):
            return Trouble(f"no ticket: {body.detail}", body.mend)
        ticket = body
    try:
        url = venue.socket_url(ws_url, route, ticket)
    except Undecodable as error:
        return Trouble(f"its ticket cannot be read: {error}", "check any proxy in between")
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status = await _upgrade(url)
    except TimeoutError:
        return Trouble(f"{parts.netloc} does not answer within {TIMEOUT_S:g} s", "check the firewall and the route")
    except ssl.SSLError as error:
        return _unreached(parts.netloc, str(error.reason), is_tls=True)
    except OSError as error:
        refused = isinstance(error, ConnectionRefusedError)
        words = "connection refused" if refused else (error.strerror or str(error)).lower()
        return _unreached(parts.netloc, words, is_tls=False)
    if not status.startswith("101"):
        return _refused(parts.netloc, status or "nothing, and hangs up")
    return Answered(mono_ms() - started)


def _route(venue: Venue) -> str:
    """The socket that books of 50 levels come by. The instrument is made up: it is not subscribed."""
    instrument = Instrument(
        pair=Pair(venue.name, venue.market, "BTC/USDT"), symbol="BTCUSDT", status=InstrumentStatus.TRADING, tick="1",
        lot="1", min_amount="1", min_notional=None, contract_size=Decimal(1),
    )  # fmt: skip
    return venue.topics(instrument, "50", frozenset({"book"}))[0].route


async def _upgrade(url: str) -> str:
    """Ask for a websocket; the answer's status and words, such as `101 Switching Protocols`. Raises OSError."""
    parts = urlsplit(url)
    secure = parts.scheme in {"https", "wss"}
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if secure else 80), ssl=ssl.create_default_context() if secure else None
    )
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        line = (await reader.readline()).decode(errors="replace").strip()
    finally:
        writer.transport.abort()
    return line.partition(" ")[2]
