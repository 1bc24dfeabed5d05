"""KuCoin's public REST: metadata, books, the token of Classic sockets, and the weight pool (venues/kucoin.md §2, §5, §7)."""

import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from ops.simulator.catalogue import DATED_EXPIRY_MS, Listing
from ops.simulator.kucoin.classic_text import number_levels, text_levels
from ops.simulator.kucoin.listing import PRE_MARKET
from ops.simulator.venue import Venue
from ops.simulator.wire import Request, Response

POOL = 2000  # the public pool's weight of one IP in 30 s
WINDOW_MS = 30_000
TOKEN_LIFE_MS = 24 * 3_600_000
CLASSIC_PATH = "/endpoint"  # where the sockets are that a token names; Pro has the bare host
PING_INTERVAL_MS, PING_TIMEOUT_MS = 18_000, 10_000
_FUTURES_LEVELS = 1000  # a side, of level2/snapshot
_LISTED_SINCE_MS = 1_585_555_200_000


class Tokens:
    """The tokens of Classic sockets: each opens one socket, within 24 h. The real venue lets one open several; a client
    that asks for a new one before every dial (§2) sees no difference."""

    def __init__(self) -> None:
        self._expire_ms: dict[str, int] = {}

    def issue(self, wall_ms: int) -> str:
        """A new token, of base64 characters that a URL must encode."""
        token = f"2neAiu+/{secrets.token_urlsafe(24)}=="
        self._expire_ms[token] = wall_ms + TOKEN_LIFE_MS
        return token

    def use(self, token: str, wall_ms: int) -> bool:
        """Whether a socket may open with it; it is used up then."""
        return wall_ms < self._expire_ms.pop(token, 0)

    def expire(self) -> None:
        """All tokens out there are too old from now on."""
        self._expire_ms.clear()


class _Pool:
    """The weight that one IP has used in the window of 30 s that began with its first request."""

    def __init__(self) -> None:
        self.used = 0
        self.since_ms = 0.0

    def charge(self, weight: int, mono_ms: float) -> bool:
        if mono_ms - self.since_ms >= WINDOW_MS:
            self.used, self.since_ms = 0, mono_ms
        self.used += weight
        return self.used <= POOL


class KucoinRest:
    """Answers one venue-market's REST requests. Spot and futures have hosts of their own, as here ports."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self.tokens = Tokens()
        self._pools: dict[str, _Pool] = {}
        self._routes: dict[tuple[str, str], tuple[int, Callable[[Request], Response]]] = {
            ("GET", "/api/v1/timestamp"): (3, self._time),
            ("GET", "/api/v1/status"): (3, self._status),
            ("POST", "/api/v1/bullet-public"): (10, self._bullet),
        }
        self._routes |= self._spot_routes() if venue.market == "spot" else self._futures_routes()

    def _spot_routes(self) -> dict[tuple[str, str], tuple[int, Callable[[Request], Response]]]:
        return {
            ("GET", "/api/v2/symbols"): (4, lambda request: self._listed(_describe_spot)),
            ("GET", "/api/v1/symbols"): (4, lambda request: self._listed(_describe_spot)),
            ("GET", "/api/v1/market/orderbook/level2_20"): (2, lambda request: self._spot_book(request, 20)),
            ("GET", "/api/v1/market/orderbook/level2_100"): (4, lambda request: self._spot_book(request, 100)),
            ("GET", "/api/v3/market/orderbook/level2"): (3, _unsigned),
        }

    def _futures_routes(self) -> dict[tuple[str, str], tuple[int, Callable[[Request], Response]]]:
        return {
            ("GET", "/api/v1/contracts/active"): (3, lambda request: self._listed(_describe_futures)),
            ("GET", "/api/v1/level2/snapshot"): (3, lambda request: self._futures_book(request, _FUTURES_LEVELS)),
            ("GET", "/api/v1/level2/depth20"): (5, lambda request: self._futures_book(request, 20)),
            ("GET", "/api/v1/level2/depth100"): (5, lambda request: self._futures_book(request, 100)),
        }

    def answer(self, request: Request) -> Response:
        """One request. Every one that is known costs weight, good or bad."""
        route = self._routes.get((request.method, request.path))
        if route is None:
            return _error("404000", "URL does not exist", status=404)
        weight, act = route
        pool = self._pools.setdefault(request.remote_ip, _Pool())
        if not pool.charge(weight, self._venue.mono_ms()) and self._venue.enforce_limits:
            self._venue.breach("request weight")
            return self._with_pool(pool, _error("429000", "Too many requests", status=429))
        return self._with_pool(pool, act(request))

    def limited(self, status: int, retry_after_s: int) -> Response:
        """Over the limit. KuCoin has no Retry-After: the header says when the window ends, in ms (§7)."""
        response = _error("429000", "Too many requests", status=status)
        headers = {"limit": str(POOL), "remaining": "0", "reset": str(retry_after_s * 1000)}
        response.headers.update({f"gw-ratelimit-{name}": text for name, text in headers.items()})
        return response

    def _with_pool(self, pool: _Pool, response: Response) -> Response:
        reset_ms = max(0, int(pool.since_ms + WINDOW_MS - self._venue.mono_ms()))
        headers = {"limit": str(POOL), "remaining": str(max(0, POOL - pool.used)), "reset": str(reset_ms)}
        response.headers.update({f"gw-ratelimit-{name}": text for name, text in headers.items()})
        return response

    def _time(self, request: Request) -> Response:
        return _json(self._venue.wall_ms())

    def _status(self, request: Request) -> Response:
        return _json({"status": "open", "msg": ""})

    def _bullet(self, request: Request) -> Response:
        server = {
            "endpoint": f"ws://{request.headers.get('host', f'127.0.0.1:{self._venue.port}')}{CLASSIC_PATH}",
            "encrypt": False,
            "protocol": "websocket",
            "pingInterval": PING_INTERVAL_MS,
            "pingTimeout": PING_TIMEOUT_MS,
        }
        return _json({"token": self.tokens.issue(self._venue.wall_ms()), "instanceServers": [server]})

    def _listed(self, describe: Callable[[Listing], dict[str, Any]]) -> Response:
        return _json([describe(listing) for listing in self._venue.listings.values()])

    def _spot_book(self, request: Request, most: int) -> Response:
        """§5.2: the sequence is text, levels are too, the time is in ms."""
        symbol = request.query.get("symbol", "")
        if symbol not in self._venue.listings:
            return _error("900001", "symbol not exists")
        feed = self._venue.feed(symbol)
        sequence, bids, asks = self._venue.snapshot(feed)
        sides = f'"bids":[{text_levels(feed, bids[:most])}],"asks":[{text_levels(feed, asks[:most])}]'
        body = f'{{"code":"200000","data":{{"time":{self._venue.wall_ms()},"sequence":"{sequence}",{sides}}}}}'
        return Response(200, body.encode())

    def _futures_book(self, request: Request, most: int) -> Response:
        """§5.3: everything is a JSON number, the time is in ns."""
        symbol = request.query.get("symbol", "")
        if symbol not in self._venue.listings:
            return _error("404000", "contract does not exist")
        feed = self._venue.feed(symbol)
        sequence, bids, asks = self._venue.snapshot(feed)
        sides = f'"bids":[{number_levels(feed, bids[:most])}],"asks":[{number_levels(feed, asks[:most])}]'
        data = f'"symbol":"{symbol}","sequence":{sequence},{sides},"ts":{self._venue.wall_ms()}000000'
        return Response(200, f'{{"code":"200000","data":{{{data}}}}}'.encode())


def _describe_spot(listing: Listing) -> dict[str, Any]:
    lot, tick = f"{listing.lot:f}", f"{listing.tick:f}"
    return {
        "symbol": listing.id,
        "name": listing.id,
        "baseCurrency": listing.base,
        "quoteCurrency": listing.quote,
        "feeCurrency": listing.quote,
        "market": "USDS",
        "baseMinSize": lot,
        "quoteMinSize": "0.1",
        "baseMaxSize": "10000000000",
        "quoteMaxSize": "99999999",
        "baseIncrement": lot,
        "quoteIncrement": "0.000001",
        "priceIncrement": tick,
        "priceLimitRate": "0.1",
        "minFunds": "0.1",
        "isMarginEnabled": False,
        "enableTrading": listing.trading,
        "feeCategory": 1,
        "makerFeeCoefficient": "1.00",
        "takerFeeCoefficient": "1.00",
        "st": False,
    }


def _describe_futures(listing: Listing) -> dict[str, Any]:
    """Numbers are JSON numbers here; a coin-margined contract has multiplier -1."""
    inverse = listing.kind in ("inverse", "dated")
    base = "XBT" if listing.base == "BTC" else listing.base
    return {
        "symbol": listing.id,
        "rootSymbol": listing.settle,
        "type": "FFICSX" if listing.kind == "dated" else "FFWCSX",
        "firstOpenDate": _LISTED_SINCE_MS,
        "expireDate": DATED_EXPIRY_MS if listing.kind == "dated" else None,
        "settleDate": None,
        "baseCurrency": base,
        "quoteCurrency": listing.quote,
        "settleCurrency": listing.settle,
        "maxOrderQty": 1_000_000,
        "maxPrice": 1_000_000.0,
        "lotSize": 1,
        "tickSize": float(listing.tick),
        "indexPriceTickSize": 0.01,
        "multiplier": -1.0 if inverse else float(listing.contract_value),
        "initialMargin": 0.008,
        "maintainMargin": 0.004,
        "makerFeeRate": 0.0002,
        "takerFeeRate": 0.0006,
        "isQuanto": not inverse,
        "isInverse": inverse,
        "markMethod": "FairPrice",
        "status": "Open" if listing.trading else "Paused",
        "marketStage": "PRE_MARKET" if listing.id == PRE_MARKET else "NORMAL",
        "nextFundingRateTime": None if listing.kind == "dated" else 10_561_278,
        "maxLeverage": 125,
    }


def _unsigned(request: Request) -> Response:
    return _error("400001", "Please check the header of your request for KC-API-KEY", status=401)


def _json(data: Any) -> Response:
    return Response(200, msgspec.json.encode({"code": "200000", "data": data}))


def _error(code: str, message: str, *, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode({"code": code, "msg": message}))
