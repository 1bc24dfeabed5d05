"""Reaching for venues: all of them simulated, and ports where nobody is, where strangers are, and where one is refused."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from feeds import venues
from fleet import clock
from fleet.config import Endpoint, Settings, VenueMarkets
from ops.doctor import venues as examined
from ops.doctor.check import Check
from ops.doctor.venues import check_venues
from ops.simulator import Simulator

OFF = {(venue, market) for venue, market in venues.names() if venues.find(venue, market).traits.off_because}


def everywhere(end: Endpoint) -> Settings:
    """All venues at one place."""
    return Settings(venues={name: VenueMarkets(spot=end, futures=end) for name, _ in venues.names()})


async def checked(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in await check_venues(settings, clock.mono_ms)}


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[str]:
    """HOST:PORT of a server that says the same to everybody."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_every_venue_is_asked_in_its_own_way_and_answers() -> None:
    async with Simulator(pairs=1) as simulator:
        markets: dict[str, dict[str, Endpoint]] = {}
        for end in simulator.endpoints:
            one = Endpoint(rest_url=end["rest_url"], ws_url=end["ws_url"], enabled=True)
            markets.setdefault(end["venue"], {})[end["market"]] = one
        settings = Settings(venues={name: VenueMarkets(**both) for name, both in markets.items()})
        checks = await checked(settings)
    assert set(checks) == {f"{venue} {market}" for venue, market in venues.names()}
    assert {check.name: check.detail for check in checks.values() if check.status == "fail"} == {}
    assert all("rest " in check.detail and "socket " in check.detail for check in checks.values())


async def test_a_venue_that_is_off_is_not_asked_and_no_failure(free_port: Callable[[], int]) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    checks = await checked(everywhere(Endpoint(rest_url=f"http://{nowhere}", ws_url=f"ws://{nowhere}")))
    assert OFF
    for venue, market in OFF:
        check = checks[f"{venue} {market}"]
        assert check.status == "ok"
        assert " is off by default: " in check.detail
        assert f"FLEET_VENUES__{venue.upper()}__{market.upper()}__ENABLED=true" in check.detail
    turned_off = await checked(everywhere(Endpoint(enabled=False)))
    assert {check.status for check in turned_off.values()} == {"ok"}
    assert turned_off["okx spot"].detail == "okx spot is turned off by FLEET_VENUES__OKX__SPOT__ENABLED=false"


async def test_where_nobody_is_each_way_is_named(free_port: Callable[[], int]) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    checks = await checked(everywhere(Endpoint(rest_url=f"http://{nowhere}", ws_url=f"ws://{nowhere}", enabled=True)))
    assert len(checks) == len(venues.names())
    for check in checks.values():
        assert check.status == "fail"
        assert f"rest: {nowhere}: " in check.detail
        assert f"socket: {nowhere}: connection refused" in check.detail or "no ticket: " in check.detail
        assert "firewall" in check.mend


@pytest.mark.parametrize(
    ("status", "mend"),
    [(b"403 Forbidden", "another address"), (b"429 Too Many Requests", "wait"), (b"502 Bad Gateway", "status page")],
)
async def test_a_refusal_is_told_with_its_status_and_the_mend(status: bytes, mend: str) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 9\r\nConnection: close\r\n\r\nnot today"
    async with saying(answer) as where:
        checks = await checked(everywhere(Endpoint(rest_url=f"http://{where}", ws_url=f"ws://{where}", enabled=True)))
    for check in checks.values():
        assert check.status == "fail"
        assert f"rest: {where} says HTTP {status[:3].decode()}: not today" in check.detail
        assert f"{where} says HTTP {status[:3].decode()}" in check.detail.partition("; socket: ")[2]
        assert mend in check.mend


async def test_tls_that_fails_is_named() -> None:
    async with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as where:  # what a plain server says to a TLS greeting
        checks = await checked(everywhere(Endpoint(rest_url=f"https://{where}", ws_url=f"wss://{where}")))
    assert checks["okx spot"].status == "fail"
    assert checks["okx spot"].detail.count("TLS failed") == 2
    assert "certificates" in checks["okx spot"].mend


async def test_a_name_without_an_address_is_told_once_and_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def nobody(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(examined.socket, "getaddrinfo", nobody)
    checks = await checked(Settings())
    assert len(asked) == len(set(asked))
    assert checks["binance spot"].detail == "api.binance.com, stream.binance.com: name or service not known"
    assert "DNS" in checks["binance spot"].mend


async def test_a_name_server_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        spoken.wait()
        return []

    monkeypatch.setattr(examined.socket, "getaddrinfo", silent)
    monkeypatch.setattr(examined, "TIMEOUT_S", 0.05)
    try:
        checks = await checked(Settings())
    finally:
        spoken.set()
    assert "the name server does not answer within 0.05 s" in checks["binance spot"].detail
