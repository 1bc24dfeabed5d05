"""MEXC spot's public REST: catalogue, books, time, and the limits of each (venues/mexc.md §5.1, §7.1)."""

from collections import deque
from typing import Any

import msgspec

from ops.simulator.catalogue import Listing
from ops.simulator.venue import Venue
from ops.simulator.wire import Request, Response

_PREFIX = "/api/v3/"
_WEIGHT, _WINDOW_MS = 500, 10_000.0  # an endpoint and address
_WEIGHTS = {"exchangeInfo": 10}  # everything else is 1
_STRIKES = 10  # refusals before a ban; their number is not published
_BAN_S = 120  # the shortest ban
_DEFAULT_LEVELS, _MOST_LEVELS = 100, 5000


class _Meter:
    """The weight of one endpoint and address."""

    def __init__(self) -> None:
        self._spent: deque[tuple[float, int]] = deque()
        self._strikes = 0
        self._banned_until_ms = 0.0

    def charge(self, weight: int, now_ms: float) -> tuple[int, int]:
        """(HTTP status, seconds to wait)."""
        if now_ms < self._banned_until_ms:
            return 418, -(-int(self._banned_until_ms - now_ms) // 1000)
        while self._spent and self._spent[0][0] <= now_ms - _WINDOW_MS:
            self._spent.popleft()
        if sum(one for _, one in self._spent) + weight <= _WEIGHT:
            self._spent.append((now_ms, weight))
            return 200, 0
        self._strikes += 1
        if self._strikes > _STRIKES:
            self._strikes, self._banned_until_ms = 0, now_ms + _BAN_S * 1000
            return 418, _BAN_S
        return 429, max(1, -(-int(self._spent[0][0] + _WINDOW_MS - now_ms) // 1000))


class SpotRest:
    """Answers spot's REST requests."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._meters: dict[tuple[str, str], _Meter] = {}

    def answer(self, request: Request) -> Response:
        """One request."""
        what = request.path.removeprefix(_PREFIX)
        routes = {
            "ping": self._ping,
            "time": self._time,
            "exchangeInfo": self._exchange_info,
            "defaultSymbols": self._default_symbols,
            "depth": self._depth,
        }
        if not request.path.startswith(_PREFIX) or what not in routes or request.method != "GET":
            return Response(404, b'{"code":404,"msg":"Not Found"}')
        meter = self._meters.setdefault((request.remote_ip, what), _Meter())
        status, wait_s = meter.charge(_WEIGHTS.get(what, 1), self._venue.mono_ms())
        if status != 200 and self._venue.enforce_limits:
            self._venue.breach("request weight")
            return self.limited(status, wait_s)
        return routes[what](request)

    def limited(self, status: int, retry_after_s: int) -> Response:
        """429, or 418 for an address that is banned."""
        return _error(status, 429, "Too Many Requests", {"Retry-After": str(retry_after_s)})

    def _ping(self, request: Request) -> Response:
        return _json({})

    def _time(self, request: Request) -> Response:
        return _json({"serverTime": self._venue.wall_ms()})

    def _default_symbols(self, request: Request) -> Response:
        symbols = [one.id for one in self._venue.listings.values() if one.trading]
        return _json({"data": symbols, "code": 0, "msg": "success", "timestamp": self._venue.wall_ms()})

    def _exchange_info(self, request: Request) -> Response:
        listings = list(self._venue.listings.values())
        symbol = request.query.get("symbol")
        if symbol is not None:
            listings = [one for one in listings if one.id == symbol]
        return _json(
            {
                "timezone": "CST",
                "serverTime": self._venue.wall_ms(),
                "rateLimits": [],
                "exchangeFilters": [],
                "symbols": [_describe(one) for one in listings],
            }
        )

    def _depth(self, request: Request) -> Response:
        symbol = request.query.get("symbol", "")
        if not symbol:
            return _error(400, 700004, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if symbol not in self._venue.listings:
            return _error(400, -1121, "Invalid symbol.")
        text = request.query.get("limit", str(_DEFAULT_LEVELS))
        limit = min(int(text), _MOST_LEVELS) if text.isascii() and text.isdigit() else _DEFAULT_LEVELS
        feed = self._venue.feed(symbol)
        sequence, bids, asks = self._venue.snapshot(feed)
        return _json(
            {
                "lastUpdateId": sequence,
                "bids": self._venue.levels_text(feed, bids[:limit]),
                "asks": self._venue.levels_text(feed, asks[:limit]),
                "timestamp": self._venue.wall_ms(),
            }
        )


def _describe(listing: Listing) -> dict[str, Any]:
    """§7.1: the steps are digits; the two fields called precision are the least amount and the least notional."""
    return {
        "symbol": listing.id,
        "status": "1" if listing.trading else "2",
        "baseAsset": listing.base,
        "baseAssetPrecision": listing.size_decimals,
        "quoteAsset": listing.quote,
        "quotePrecision": listing.price_decimals,
        "quoteAssetPrecision": listing.price_decimals,
        "baseCommissionPrecision": listing.size_decimals,
        "quoteCommissionPrecision": listing.price_decimals,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
        "isSpotTradingAllowed": listing.trading,
        "isMarginTradingAllowed": False,
        "quoteAmountPrecision": "1",
        "baseSizePrecision": "0",
        "permissions": ["SPOT"],
        "filters": [],
        "maxQuoteAmount": "2000000",
        "makerCommission": "0",
        "takerCommission": "0.0005",
        "quoteAmountPrecisionMarket": "1",
        "maxQuoteAmountMarket": "100000",
        "fullName": listing.base,
        "tradeSideType": 1 if listing.trading else 4,
    }


def _json(value: Any) -> Response:
    return Response(200, msgspec.json.encode(value))


def _error(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(status, msgspec.json.encode({"code": code, "msg": message}), headers or {})
