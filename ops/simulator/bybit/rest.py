"""Bybit's public REST: instruments, books, time, and its one limit (venues/bybit.md §2, §5.4, §5.5, §7, §10)."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from ops.simulator.bybit import text as bybit_text
from ops.simulator.bybit.books import BookTopic
from ops.simulator.bybit.text import FULL, Numbers
from ops.simulator.catalogue import DATED_EXPIRY_MS, Listing
from ops.simulator.feed import Feed
from ops.simulator.limits import SlidingLimit
from ops.simulator.venue import Venue
from ops.simulator.wire import Request, Response

CATEGORY = {"spot": "spot", "linear": "linear", "dated": "linear", "inverse": "inverse"}  # of a listing's kind
REQUESTS, WINDOW_MS = 600, 5000.0  # by IP
BAN_MS = 600_000.0
_PAGE, _PAGE_MOST = 500, 1000
_DEPTH_MOST, _FULL_MOST = 1000, 10_000
_LISTED_SINCE_MS = 1_585_526_400_000
_NOT_TRADING = {"spot": "PreLaunch", "linear": "Delivering"}
_STALE_BY = 2  # messages that an old book is behind


class BybitRest:
    """Answers one venue-market's REST requests. The real host serves every category; a port here has those of its market.

    `settled(feed, depth)` gives the book topic of a depth, after telling its listeners all that happened.
    """

    def __init__(self, venue: Venue, settled: Callable[[Feed, int], BookTopic]) -> None:
        self._venue = venue
        self._settled = settled
        self._limits: dict[str, SlidingLimit] = {}
        self._banned_until_ms: dict[str, float] = {}

    def answer(self, request: Request) -> Response:
        """One request."""
        routes = {
            "/v5/market/time": self._time,
            "/v5/market/instruments-info": self._instruments,
            "/v5/market/orderbook": self._orderbook,
            "/v5/market/full_orderbook": self._full_orderbook,
        }
        if self._is_over(request.remote_ip):
            return too_frequent()
        route = routes.get(request.path)
        if route is None or request.method != "GET":
            return Response(404, b"", content_type="text/plain")
        return route(request)

    def _is_over(self, ip: str) -> bool:
        """600 requests in 5 s; who breaks that is shut out for ten minutes (§2)."""
        if not self._venue.enforce_limits:
            return False
        now = self._venue.mono_ms()
        if now < self._banned_until_ms.get(ip, 0.0):
            return True
        if self._limits.setdefault(ip, SlidingLimit(REQUESTS, WINDOW_MS)).allows(now):
            return False
        self._venue.breach("rest rate")
        self._banned_until_ms[ip] = now + BAN_MS
        return True

    def _time(self, request: Request) -> Response:
        now = self._venue.wall_ms()
        return self._result({"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)})

    # ── instruments, §7 and §10 ──────────────────────────────────────────────────────────────────────────────────

    def _instruments(self, request: Request) -> Response:
        query = request.query
        category = query.get("category", "")
        if category not in ("spot", "linear", "inverse", "option"):
            return self._error(10001, "params error: category invalid")
        size = _whole(query.get("limit", str(_PAGE)))
        if not 1 <= size <= _PAGE_MOST:
            return self._error(10001, "params error: limit invalid")
        found = [one for one in self._venue.listings.values() if CATEGORY[one.kind] == category]
        if "symbol" in query:
            found = [one for one in found if one.id == query["symbol"]]
        if "baseCoin" in query:
            found = [one for one in found if one.base == query["baseCoin"]]
        if "status" in query:
            found = [one for one in found if _status(one) == query["status"]]
        if category == "spot":  # has no pages
            return self._result({"category": category, "list": [_spot(one) for one in found], "nextPageCursor": ""})
        start = _whole(unquote(query.get("cursor", "")).rpartition("=")[2] or "0")
        page = found[start : start + size]
        cursor = quote(f"first={start}&last={start + size}", safe="") if start + size < len(found) else ""
        listed = [_contract(one) for one in page]
        return self._result({"category": category, "list": listed, "nextPageCursor": cursor})

    # ── books, §5.4 and §5.5 ─────────────────────────────────────────────────────────────────────────────────────

    def _orderbook(self, request: Request) -> Response:
        size = _whole(request.query.get("limit", "1" if self._venue.market == "spot" else "25"))
        if not 1 <= size <= _DEPTH_MOST:
            return self._error(10001, "params error: limit invalid")
        return self._book(request, _DEPTH_MOST, size)

    def _full_orderbook(self, request: Request) -> Response:
        if request.query.get("category") != "spot":
            return self._error(10001, "params error: category invalid")
        return self._book(request, FULL, _FULL_MOST)

    def _book(self, request: Request, depth: int, size: int) -> Response:
        listing = self._venue.listings.get(request.query.get("symbol", ""))
        if listing is None or CATEGORY[listing.kind] != request.query.get("category"):
            return self._error(10001, "Not supported symbols")
        feed = self._venue.feed(listing.id)
        sequence, bids, asks = self._venue.snapshot(feed)
        topic = self._settled(feed, depth)
        numbers = topic.numbers
        if sequence != feed.instrument.sequence:  # an old book, from a cache
            numbers = Numbers(max(1, topic.u - _STALE_BY), sequence)
        now = self._venue.wall_ms()
        return self._reply(bybit_text.rest_book(feed, bids[:size], asks[:size], numbers, now).encode())

    # ── envelopes, §7 ────────────────────────────────────────────────────────────────────────────────────────────

    def _result(self, result: Any) -> Response:
        return self._reply(msgspec.json.encode(result))

    def _reply(self, result: bytes) -> Response:
        now = self._venue.wall_ms()
        body = b'{"retCode":0,"retMsg":"OK","result":%b,"retExtInfo":{},"time":%d}' % (result, now)
        return Response(200, body)

    def _error(self, code: int, message: str) -> Response:
        """Status 200 even then."""
        error = {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": self._venue.wall_ms()}
        return Response(200, msgspec.json.encode(error))


def too_frequent() -> Response:
    """Over a limit of the address: HTTP 403, no header says for how long (§2)."""
    return Response(403, b"access too frequent", content_type="text/plain")


def system_busy(wall_ms: int) -> Response:
    """HTTP 429: the venue as a whole is over its limit (§7)."""
    error = {"retCode": 10429, "retMsg": "System level frequency protection", "result": {}, "time": wall_ms}
    return Response(429, msgspec.json.encode(error))


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else -1


def _status(listing: Listing) -> str:
    return "Trading" if listing.trading else _NOT_TRADING[CATEGORY[listing.kind]]


def _spot(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": listing.id,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "innovation": "0",
        "status": _status(listing),
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": f"{listing.lot:f}",
            "quotePrecision": "0.0000001",
            "minOrderQty": f"{listing.lot:f}",
            "maxOrderQty": "71000",
            "minOrderAmt": "5",
            "maxOrderAmt": "4000000",
            "maxLimitOrderQty": "71000",
            "maxMarketOrderQty": "35500",
        },
        "priceFilter": {"tickSize": f"{listing.tick:f}"},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        "symbolType": "",
    }


def _contract(listing: Listing) -> dict[str, Any]:
    way = "Inverse" if listing.kind == "inverse" else "Linear"
    dated = listing.kind == "dated"
    return {
        "symbol": listing.id,
        "contractType": f"{way}Futures" if dated else f"{way}Perpetual",
        "status": _status(listing),
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "launchTime": str(_LISTED_SINCE_MS),
        "deliveryTime": str(DATED_EXPIRY_MS) if dated else "0",
        "deliveryFeeRate": "",
        "priceScale": str(listing.price_decimals),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": f"{listing.tick:f}", "maxPrice": "1999999.80", "tickSize": f"{listing.tick:f}"},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000",
            "minOrderQty": f"{listing.lot:f}",
            "qtyStep": f"{listing.lot:f}",
            "postOnlyMaxOrderQty": "1190.000",
            "maxMktOrderQty": "500.000",
            "minNotionalValue": "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": listing.settle,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "symbolType": "",
    }
