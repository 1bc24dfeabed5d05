"""MEXC's public contract REST: catalogue, books, commits, clock, and their limits (venues/mexc.md §5.3, §7.2).

Business errors come with HTTP 200; only the envelope says that something went wrong.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from ops.simulator.catalogue import Listing
from ops.simulator.limits import SlidingLimit
from ops.simulator.mexc import contract_text
from ops.simulator.mexc.contract_text import Commit
from ops.simulator.venue import Venue
from ops.simulator.wire import Request, Response

_PREFIX = "/api/v1/contract/"
_WINDOW_MS = 2000.0
_LIMITS = {"detail": 10, "depth": 10, "depth_commits": 20, "ping": 20}  # requests in 2 s, an endpoint and address
_MOST_LEVELS, _MOST_COMMITS = 1500, 1000
_DELISTED_AT_MS = 1_788_000_000_000  # the frozen time of a book that is no more
_PERPETUAL = 1  # futureType


class ContractRest:
    """Answers contract REST requests. `commits` are the last changes of a contract, oldest first."""

    def __init__(self, venue: Venue, commits: Callable[[str], list[Commit]]) -> None:
        self._venue = venue
        self._commits = commits
        self._limits: dict[tuple[str, str], SlidingLimit] = {}

    def answer(self, request: Request) -> Response:
        """One request. Symbols in paths may be lower case (§1)."""
        what, _, rest = request.path.removeprefix(_PREFIX).partition("/")
        if not request.path.startswith(_PREFIX) or what not in _LIMITS or request.method != "GET":
            return Response(404, b'{"success":false,"code":404,"message":"Not Found"}')
        limit = self._limits.setdefault((request.remote_ip, what), SlidingLimit(_LIMITS[what], _WINDOW_MS))
        if not limit.allows(self._venue.mono_ms()) and self._venue.enforce_limits:
            self._venue.breach("rest rate")
            return self._failed(510, "Requests are too frequent, please try again later!")
        if what == "ping":
            return self._data(str(self._venue.wall_ms()))
        if what == "detail":
            return self._detail(request)
        symbol, _, count = rest.upper().partition("/")
        if symbol not in self._venue.listings:
            return self._failed(1001, "Contract does not exist!")
        return self._depth(symbol, request) if what == "depth" else self._depth_commits(symbol, count)

    def limited(self, status: int, retry_after_s: int) -> Response:
        """What the host in front says: its status counts."""
        refusal = self._failed(510, "Requests are too frequent, please try again later!")
        return Response(status, refusal.body, {"Retry-After": str(retry_after_s)})

    def _depth(self, symbol: str, request: Request) -> Response:
        """§5.3. A delisted contract answers with success, without levels, and with a time that stands still."""
        feed = self._venue.feed(symbol)
        sequence, bids, asks = self._venue.snapshot(feed)
        at_ms = self._venue.wall_ms()
        if not feed.listing.trading:
            bids, asks, at_ms = [], [], _DELISTED_AT_MS
        text = request.query.get("limit", "")
        limit = min(int(text), _MOST_LEVELS) if text.isascii() and text.isdigit() else _MOST_LEVELS
        rows = (
            f'"asks":[{contract_text.levels(feed, asks[:limit])}],"bids":[{contract_text.levels(feed, bids[:limit])}]'
        )
        return self._data(f'{{"cts":null,{rows},"version":{sequence},"timestamp":{at_ms}}}')

    def _depth_commits(self, symbol: str, count: str) -> Response:
        """§5.3: newest first, although documented the other way round."""
        most = min(int(count), _MOST_COMMITS) if count.isascii() and count.isdigit() else _MOST_COMMITS
        feed = self._venue.feed(symbol)
        items = []
        for commit in reversed(self._commits(symbol)[-most:] if most else []):
            row = contract_text.levels(feed, [(commit.price, commit.lots)])
            asks, bids = ("", row) if commit.is_bid else (row, "")
            items.append(f'{{"cts":null,"asks":[{asks}],"bids":[{bids}],"version":{commit.version}}}')
        return self._data(f"[{','.join(items)}]")

    def _detail(self, request: Request) -> Response:
        listings = list(self._venue.listings.values())
        symbol = request.query.get("symbol")
        if symbol is None:
            return self._data(msgspec.json.encode([_describe(one) for one in listings]).decode())
        named = self._venue.listings.get(symbol.upper())
        if named is None or not named.trading:
            return self._failed(1001, "Contract does not exist!")
        return self._data(msgspec.json.encode(_describe(named)).decode())

    @staticmethod
    def _data(data: str) -> Response:
        return Response(200, f'{{"success":true,"code":0,"data":{data}}}'.encode())

    @staticmethod
    def _failed(code: int, message: str) -> Response:
        return Response(200, msgspec.json.encode({"success": False, "code": code, "message": message}))


def _describe(listing: Listing) -> dict[str, Any]:
    """§7.2. Steps are JSON numbers, as the venue has them."""
    return {
        "symbol": listing.id,
        "displayName": listing.id,
        "displayNameEn": f"{listing.id} PERPETUAL",
        "positionOpenType": 3,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "settleCoin": listing.settle,
        "contractSize": msgspec.Raw(f"{listing.contract_value:f}".encode()),
        "minLeverage": 1,
        "maxLeverage": 200,
        "priceScale": max(0, -int(listing.tick.as_tuple().exponent)),
        "volScale": 0,
        "amountScale": 4,
        "priceUnit": msgspec.Raw(f"{listing.tick:f}".encode()),
        "volUnit": 1,
        "minVol": 1,
        "maxVol": 1_000_000,
        "limitMaxVol": 1_000_000,
        "bidLimitPriceRate": 0.1,
        "askLimitPriceRate": 0.1,
        "takerFeeRate": 0,
        "makerFeeRate": 0,
        "maintenanceMarginRate": 0.004,
        "initialMarginRate": 0.005,
        "maxNumOrders": [200, 50],
        "state": 0 if listing.trading else 3,
        "isNew": False,
        "isHot": False,
        "isHidden": False,
        "apiAllowed": listing.trading,
        "futureType": _PERPETUAL,
    }
