"""Whether the venues' endpoints can be reached from here: name, TCP, and TLS where the url asks for it."""

import asyncio
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from fleet import clock
from fleet.config import Settings
from ops.doctor.check import Check, fail, ok, warn

TIMEOUT_S = 5.0
SLOW_MS = 1000


async def check_venues(settings: Settings, mono_ms: clock.MonoMs) -> list[Check]:
    """One check an endpoint; all at once."""
    endpoints = list(_endpoints(settings))
    return list(await asyncio.gather(*(_reach(name, url, mono_ms) for name, url in endpoints)))


def _endpoints(settings: Settings) -> Iterator[tuple[str, str]]:
    from feeds import venues

    for venue, market in venues.names():
        known, override = venues.find(venue, market), settings.endpoint(venue, market)
        yield f"{venue} {market} rest", override.rest_url or known.rest_url
        yield f"{venue} {market} socket", override.ws_url or known.ws_url


async def _reach(name: str, url: str, mono_ms: clock.MonoMs) -> Check:
    parts = urlsplit(url)
    secure = parts.scheme in {"https", "wss"}
    port = parts.port or (443 if secure else 80)
    where = f"{parts.hostname}:{port}"
    started = mono_ms()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                parts.hostname, port, ssl=ssl.create_default_context() if secure else None
            )
            writer.close()
    except TimeoutError:
        return fail(name, f"{where} does not answer within {TIMEOUT_S:g} s", "check the firewall and the route")
    except ssl.SSLError as error:
        return fail(name, f"{where}: TLS failed: {error.reason}", "check the system's certificates and any proxy")
    except OSError as error:
        return fail(name, f"{where}: {error.strerror or error}", "check DNS, the firewall and the endpoint's url")
    took_ms = mono_ms() - started
    if took_ms > SLOW_MS:
        return warn(name, f"{where} answered in {took_ms:.0f} ms", "move the daemons nearer to the venue")
    return ok(name, f"{where} answered in {took_ms:.0f} ms")
