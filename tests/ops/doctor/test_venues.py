"""Reaching for venues: a simulated one, and ports where nobody is."""

import asyncio

from feeds import venues
from fleet import clock
from fleet.config import Endpoint, Settings, VenueMarkets
from ops.doctor.venues import check_venues
from ops.simulator import Simulator


async def test_every_endpoint_of_every_venue_is_asked(free_port):
    nowhere = f"http://127.0.0.1:{free_port()}"
    closed = Endpoint(rest_url=nowhere, ws_url=nowhere.replace("http", "ws"))
    async with Simulator([("binance", "spot")], pairs=1) as simulator:
        [at] = simulator.endpoints
        reached = Endpoint(rest_url=at["rest_url"], ws_url=at["ws_url"])
        markets = {name: VenueMarkets(spot=closed, futures=closed) for name, _ in venues.names()}
        markets["binance"] = VenueMarkets(spot=reached, futures=closed)
        checks = {check.name: check for check in await check_venues(Settings(venues=markets), clock.mono_ms)}
    assert len(checks) == 2 * len(venues.names())
    assert checks["binance spot rest"].status == "ok"
    assert checks["binance spot socket"].status == "ok"
    assert checks["binance futures rest"].status == "fail"
    assert checks["okx spot socket"].mend


async def test_tls_that_fails_is_named():
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # what a plain server says to a TLS greeting
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        plain = Endpoint(rest_url=f"https://{where}", ws_url=f"wss://{where}")
        settings = Settings(venues={name: VenueMarkets(spot=plain, futures=plain) for name, _ in venues.names()})
        checks = {check.name: check for check in await check_venues(settings, clock.mono_ms)}
    assert checks["okx spot rest"].status == "fail"
    assert "TLS failed" in checks["okx spot rest"].detail
    assert "certificates" in checks["okx spot rest"].mend
