"""HTX's public REST, spot and contracts: metadata, books, time, and their limits (venues/htx.md §1, §7).

Errors come with HTTP status 200, but for those over a limit. The two systems have envelopes of their own.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from ops.simulator.catalogue import DATED_EXPIRY_MS, Listing, digits
from ops.simulator.feed import Feed
from ops.simulator.htx import text
from ops.simulator.limits import SlidingLimit
from ops.simulator.venue import Venue
from ops.simulator.wire import Request, Response

DEPTH = 150  # of step0
_SPOT_LIMIT = (10, 1000.0)  # of each endpoint and IP
_CONTRACT_LIMITS = {"market": (800, 1000.0), "other": (120, 3000.0)}  # of each IP

Route = Callable[[Request], Response]


class SpotRest:
    """`api.huobi.pro`."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._limits: dict[tuple[str, str], SlidingLimit] = {}
        self._routes: dict[str, Route] = {
            "/v1/common/symbols": self._symbols,
            "/v1/common/timestamp": lambda request: _ok(venue.wall_ms()),
            "/v2/market-status": lambda request: _json(
                {"code": 200, "message": "success", "data": {"marketStatus": 1}}
            ),
            "/market/depth": self._depth,
        }

    def answer(self, request: Request) -> Response:
        """One request."""
        route = self._routes.get(request.path)
        if route is None or request.method != "GET":
            return Response(404, b'{"status":"error","err-code":"not-found","err-msg":"Not Found","data":null}')
        limit = self._limits.setdefault((request.remote_ip, request.path), SlidingLimit(*_SPOT_LIMIT))
        if not limit.allows(self._venue.mono_ms()) and self._venue.enforce_limits:
            self._venue.breach("rest rate")
            return self.limited(429)
        return route(request)

    def limited(self, status: int) -> Response:
        """Over the limit (§7.4, §7.5)."""
        headers = {
            "X-HB-RateLimit-Requests-Remain": "0",
            "X-HB-RateLimit-Requests-Expire": str(self._venue.wall_ms() + 1000),
        }
        return _error("rate-too-many-requests", "too many requests", status, headers)

    def _symbols(self, request: Request) -> Response:
        return _ok([_symbol(listing) for listing in self._venue.listings.values()])

    def _depth(self, request: Request) -> Response:
        symbol = request.query.get("symbol", "")
        if symbol not in self._venue.listings:
            return _error("invalid-parameter", "invalid symbol")
        if request.query.get("type") != "step0":
            return _error("invalid-parameter", "invalid type")
        wall = self._venue.wall_ms()
        sequence, bids, asks = self._venue.snapshot(feed := self._venue.feed(symbol))
        tick = text.spot_depth(feed, sequence, bids[:DEPTH], asks[:DEPTH], wall)
        body = f'{{"ch":"market.{symbol}.depth.step0","status":"ok","ts":{wall},"tick":{tick}}}'
        return Response(200, body.encode())


class ContractRest:
    """`api.hbdm.com`, linear swaps."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._limits: dict[tuple[str, str], SlidingLimit] = {}
        self._routes: dict[str, tuple[str, Route]] = {
            "/linear-swap-api/v1/swap_contract_info": ("other", self._contracts),
            "/api/v1/timestamp": ("other", lambda request: _json({"status": "ok", "ts": venue.wall_ms()})),
            "/linear-swap-ex/market/depth": ("market", self._depth),
        }

    def answer(self, request: Request) -> Response:
        """One request."""
        kind, route = self._routes.get(request.path, ("", None))
        if route is None or request.method != "GET":
            return Response(404, b"<html>404 Not Found</html>", content_type="text/html")
        count, window_ms = _CONTRACT_LIMITS[kind]
        limit = self._limits.setdefault((request.remote_ip, kind), SlidingLimit(count, window_ms))
        if not limit.allows(self._venue.mono_ms()) and self._venue.enforce_limits:
            self._venue.breach("rest rate")
            return self.limited(429)
        response = route(request)
        response.headers.update({"ratelimit-limit": str(count), "ratelimit-interval": str(int(window_ms))})
        return response

    def limited(self, status: int) -> Response:
        """Over the limit (§7.4, §7.5)."""
        headers = {"ratelimit-remaining": "0", "recovery-time": str(self._venue.wall_ms() + 3000)}
        return self._refuse(1032, "The number of access exceeded the limit.", status, headers)

    def _contracts(self, request: Request) -> Response:
        business = request.query.get("business_type", "swap")
        kinds = {"swap": ("linear",), "futures": ("dated",), "all": ("linear", "dated")}.get(business)
        if kinds is None:
            return self._refuse(1030, "The parameter business_type is invalid.")
        wanted = request.query.get("contract_code", "").upper()
        rows = [
            _contract(listing)
            for listing in self._venue.listings.values()
            if listing.kind in kinds and wanted in ("", listing.id)
        ]
        return _json({"status": "ok", "data": rows, "ts": self._venue.wall_ms()})

    def _depth(self, request: Request) -> Response:
        code = request.query.get("contract_code", "").upper()
        if code not in self._venue.listings:
            return self._refuse(1332, "The contract doesn't exist.")
        if request.query.get("type") != "step0":
            return self._refuse(1030, "The parameter type is invalid.")
        wall = self._venue.wall_ms()
        feed: Feed = self._venue.feed(code)
        sequence, bids, asks = self._venue.snapshot(feed)
        topic = f"market.{code}.depth.step0"
        tick = text.swap_depth(feed, topic, sequence, bids[:DEPTH], asks[:DEPTH], wall)
        return Response(200, f'{{"ch":"{topic}","status":"ok","tick":{tick},"ts":{wall}}}'.encode())

    def _refuse(self, code: int, message: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        body = {"status": "error", "err_code": code, "err_msg": message, "ts": self._venue.wall_ms()}
        return Response(status, msgspec.json.encode(body), headers or {})


def _symbol(listing: Listing) -> dict[str, Any]:
    price_digits, size_digits = digits(listing.tick), digits(listing.lot)
    least = float(listing.lot)
    return {
        "base-currency": listing.base.lower(),
        "quote-currency": listing.quote.lower(),
        "price-precision": price_digits,
        "amount-precision": size_digits,
        "symbol-partition": "main",
        "symbol": listing.id,
        "state": "online" if listing.trading else "suspend",
        "value-precision": 8,
        "min-order-amt": least,
        "max-order-amt": 10_000_000,
        "min-order-value": 5,
        "limit-order-min-order-amt": least,
        "limit-order-max-order-amt": 10_000_000,
        "limit-order-max-buy-amt": 10_000_000,
        "limit-order-max-sell-amt": 10_000_000,
        "sell-market-min-order-amt": least,
        "sell-market-max-order-amt": 1_000_000,
        "buy-market-max-order-value": 1_000_000,
        "api-trading": "enabled",
        "tags": "",
    }


def _contract(listing: Listing) -> dict[str, Any]:
    dated = listing.kind == "dated"
    return {
        "symbol": listing.base,
        "contract_code": listing.id,
        "contract_size": msgspec.Raw(f"{listing.contract_value:f}".encode()),
        "price_tick": msgspec.Raw(f"{listing.tick:f}".encode()),
        "delivery_date": "20261225" if dated else "",
        "delivery_time": str(DATED_EXPIRY_MS) if dated else "",
        "create_date": "20201021",
        "contract_status": 1 if listing.trading else 3,
        "settlement_date": "1603324800000",
        "support_margin_mode": "cross" if dated else "all",
        "business_type": "futures" if dated else "swap",
        "pair": f"{listing.base}-{listing.quote}",
        "contract_type": "quarter" if dated else "swap",
    }


def _ok(data: Any) -> Response:
    return _json({"status": "ok", "data": data})


def _json(value: Any) -> Response:
    return Response(200, msgspec.json.encode(value))


def _error(code: str, message: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = {"status": "error", "err-code": code, "err-msg": message, "data": None}
    return Response(status, msgspec.json.encode(body), headers or {})
