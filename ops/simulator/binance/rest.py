"""Binance's public REST: metadata, depth, time, and the weights of every request (venues/binance.md §1, §5, §7)."""

from typing import Any

import msgspec

from ops.simulator.binance.text import FuturesText, SpotText, levels
from ops.simulator.catalogue import DATED_EXPIRY_MS, Listing
from ops.simulator.limits import Verdict, WeightMeter
from ops.simulator.venue import Venue
from ops.simulator.wire import Request, Response

_PREFIX = {"spot": "/api/v3", "futures": "/fapi/v1"}
WEIGHT_LIMIT = {"spot": 6000, "futures": 2400}  # a minute and IP
_FUTURES_DEPTH_WEIGHT = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_LISTED_SINCE_MS = 1_569_398_400_000
_NEVER_MS = 4_133_404_800_000  # deliveryDate of a perpetual


class BinanceRest:
    """Answers one venue-market's REST requests."""

    def __init__(self, venue: Venue, text: SpotText | FuturesText) -> None:
        self._venue = venue
        self._text = text
        self._market = venue.market
        self._meters: dict[str, WeightMeter] = {}

    def answer(self, request: Request) -> Response:
        """One request. Every request that reaches the API costs weight, good or bad."""
        prefix, _, what = request.path.rpartition("/")
        routes = {"ping": self._ping, "time": self._time, "exchangeInfo": self._exchange_info, "depth": self._depth}
        if prefix != _PREFIX[self._market] or what not in routes:
            return Response(404, b"<html>404 Not Found</html>", content_type="text/html")
        if request.method != "GET":
            return _error(-1100, f"Request method '{request.method}' not supported", status=405)
        meter = self._meters.setdefault(request.remote_ip, WeightMeter(WEIGHT_LIMIT[self._market]))
        verdict = meter.charge(self._weight(what, request.query), self._venue.wall_ms())
        if verdict.status != 200 and self._venue.enforce_limits:
            self._venue.breach("request weight")
            return self.limited(verdict)
        response = routes[what](request)
        response.headers["X-MBX-USED-WEIGHT-1M"] = str(verdict.used)
        return response

    def limited(self, verdict: Verdict) -> Response:
        """429, or 418 for an IP that is banned."""
        if verdict.status == 418:
            until = self._venue.wall_ms() + verdict.retry_after_s * 1000
            message = f"Way too much request weight used; IP banned until {until}."
        else:
            limit = WEIGHT_LIMIT[self._market]
            message = f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE."
        headers = {"Retry-After": str(verdict.retry_after_s), "X-MBX-USED-WEIGHT-1M": str(verdict.used)}
        return _error(-1003, message, status=verdict.status, headers=headers)

    def _weight(self, what: str, query: dict[str, str]) -> int:
        if what == "exchangeInfo":
            return 20 if self._market == "spot" else 1
        if what != "depth":
            return 1
        limit = query.get("limit", "")
        size = int(limit) if limit.isdigit() else 0
        if self._market == "futures":
            return _FUTURES_DEPTH_WEIGHT.get(size or 500, 2)
        return 5 if size <= 100 else 25 if size <= 500 else 50 if size <= 1000 else 250

    def _ping(self, request: Request) -> Response:
        return Response(200, b"{}")

    def _time(self, request: Request) -> Response:
        return _json({"serverTime": self._venue.wall_ms()})

    def _depth(self, request: Request) -> Response:
        symbol = request.query.get("symbol")
        if not symbol:
            return _error(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if symbol not in self._venue.listings:
            return _error(-1121, "Invalid symbol.")
        text = request.query.get("limit", "100" if self._market == "spot" else "500")
        limit = int(text) if text.isdigit() else 0
        allowed = 1 <= limit <= 5000 if self._market == "spot" else limit in _FUTURES_DEPTH_WEIGHT
        if not allowed:
            return _error(-1130, "Data sent for parameter 'limit' is not valid.")
        feed = self._venue.feed(symbol)
        sequence, bids, asks = self._venue.snapshot(feed)
        bids_text, asks_text = levels(feed, bids[:limit]), levels(feed, asks[:limit])
        body = self._text.snapshot(feed, sequence, bids_text, asks_text, self._venue.wall_ms())
        return Response(200, body.encode())

    def _exchange_info(self, request: Request) -> Response:
        listings = list(self._venue.listings.values())
        symbol = request.query.get("symbol")
        if symbol is not None:
            listings = [listing for listing in listings if listing.id == symbol]
            if not listings:
                return _error(-1121, "Invalid symbol.")
        describe = _spot_symbol if self._market == "spot" else _futures_symbol
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
        return _json(
            {
                "timezone": "UTC",
                "serverTime": self._venue.wall_ms(),
                "rateLimits": [{**limit, "limit": WEIGHT_LIMIT[self._market]}],
                "exchangeFilters": [],
                "symbols": [describe(listing) for listing in listings],
            }
        )


def _spot_symbol(listing: Listing) -> dict[str, Any]:
    tick, lot = f"{listing.tick:.8f}", f"{listing.lot:.8f}"
    return {
        "symbol": listing.id,
        "status": "TRADING" if listing.trading else "BREAK",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "isSpotTradingAllowed": listing.trading,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000.00000000", "stepSize": lot},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True,
             "maxNotional": "9000000.00000000", "applyMaxToMarket": False, "avgPriceMins": 5},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
    }  # fmt: skip


def _futures_symbol(listing: Listing) -> dict[str, Any]:
    dated = listing.kind == "dated"
    return {
        "symbol": listing.id,
        "pair": f"{listing.base}{listing.quote}",
        "contractType": "CURRENT_QUARTER" if dated else "PERPETUAL",
        "deliveryDate": DATED_EXPIRY_MS if dated else _NEVER_MS,
        "onboardDate": _LISTED_SINCE_MS,
        "status": "TRADING" if listing.trading else "SETTLING",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.settle,
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.size_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": str(listing.tick), "maxPrice": "1000000",
             "tickSize": str(listing.tick)},
            {"filterType": "LOT_SIZE", "minQty": str(listing.lot), "maxQty": "1000000", "stepSize": str(listing.lot)},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }  # fmt: skip


def _json(value: Any) -> Response:
    return Response(200, msgspec.json.encode(value))


def _error(code: int, message: str, *, status: int = 400, headers: dict[str, str] | None = None) -> Response:
    return Response(status, msgspec.json.encode({"code": code, "msg": message}), headers or {})
