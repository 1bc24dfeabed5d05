"""OKX's public REST: instruments, books, time, and their limits (venues/okx.md §1, §5, §7)."""

from typing import Any

import msgspec

from ops.simulator.catalogue import DATED_EXPIRY_MS, Listing
from ops.simulator.limits import SlidingLimit
from ops.simulator.okx import text as okx_text
from ops.simulator.venue import Venue
from ops.simulator.wire import Request, Response

INST_TYPE = {"spot": "SPOT", "linear": "SWAP", "inverse": "SWAP", "dated": "FUTURES"}
_LISTED_SINCE_MS = 1_611_907_686_000
_WINDOW_MS = 2000.0
_DEPTHS = {"/api/v5/market/books": (400, 40), "/api/v5/market/books-full": (5000, 10)}  # levels, requests in 2 s
_INSTRUMENTS_LIMIT = 20  # in 2 s, by IP and instType


class OkxRest:
    """Answers one venue-market's REST requests. A real OKX host serves spot and swaps together; a port here has one."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._limits: dict[tuple[str, ...], SlidingLimit] = {}

    def answer(self, request: Request) -> Response:
        """One request."""
        if request.method == "GET" and request.path == "/api/v5/public/time":
            return _json([{"ts": str(self._venue.wall_ms())}])
        if request.method == "GET" and request.path == "/api/v5/system/status":
            return _json([])
        if request.method == "GET" and request.path == "/api/v5/public/instruments":
            return self._instruments(request)
        if request.method == "GET" and request.path in _DEPTHS:
            return self._books(request)
        return Response(404, b'{"code":"404","msg":"Not Found","data":{}}')

    def limited(self, status: int) -> Response:
        """Over the limit: code 50011; OKX has no useful headers (§7)."""
        return _error("50011", "Too Many Requests", status=status)

    def _allows(self, key: tuple[str, ...], count: int) -> bool:
        limit = self._limits.setdefault(key, SlidingLimit(count, _WINDOW_MS))
        if limit.allows(self._venue.mono_ms()) or not self._venue.enforce_limits:
            return True
        self._venue.breach("rest rate")
        return False

    def _instruments(self, request: Request) -> Response:
        inst_type = request.query.get("instType", "")
        if not inst_type:
            return _error("50014", "Parameter instType can not be empty.", status=400)
        if inst_type not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"):
            return _error("51000", "Parameter instType error")
        if not self._allows((request.remote_ip, request.path, inst_type), _INSTRUMENTS_LIMIT):
            return self.limited(429)
        listed = [one for one in self._venue.listings.values() if INST_TYPE[one.kind] == inst_type]
        wanted = request.query.get("instId")
        if wanted:
            listed = [one for one in listed if one.id == wanted]
            if not listed:
                return _error("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        return _json([_describe(one) for one in listed])

    def _books(self, request: Request) -> Response:
        most, count = _DEPTHS[request.path]
        inst_id, text = request.query.get("instId", ""), request.query.get("sz", "1")
        if not self._allows((request.remote_ip, request.path), count):
            return self.limited(429)
        if inst_id not in self._venue.listings:
            return _error("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        size = int(text) if text.isdigit() else 0
        if not 1 <= size <= most:
            return _error("51000", "Parameter sz error")
        feed = self._venue.feed(inst_id)
        sequence, bids, asks = self._venue.snapshot(feed)
        sides = f'"asks":[{okx_text.levels(feed, asks[:size])}],"bids":[{okx_text.levels(feed, bids[:size])}]'
        body = f'{{"code":"0","msg":"","data":[{{{sides},"ts":"{self._venue.wall_ms()}","seqId":{sequence}}}]}}'
        return Response(200, body.encode())


def _describe(listing: Listing) -> dict[str, Any]:
    spot = listing.kind == "spot"
    family = "" if spot else f"{listing.base}-{listing.quote}"
    return {
        "instType": INST_TYPE[listing.kind],
        "instId": listing.id,
        "instIdCode": listing.code,
        "uly": family,
        "instFamily": family,
        "baseCcy": listing.base if spot else "",
        "quoteCcy": listing.quote if spot else "",
        "settleCcy": listing.settle,
        "ctVal": "" if spot else f"{listing.contract_value:f}",
        "ctMult": "" if spot else "1",
        "ctValCcy": "" if spot else listing.quote if listing.kind == "inverse" else listing.base,
        "ctType": "" if spot else "inverse" if listing.kind == "inverse" else "linear",
        "tickSz": f"{listing.tick:f}",
        "lotSz": f"{listing.lot:f}",
        "minSz": f"{listing.lot:f}",
        "maxLmtSz": "999999999999",
        "maxMktSz": "1000000",
        "maxLmtAmt": "20000000",
        "maxMktAmt": "1000000",
        "lever": "10",
        "state": "live" if listing.trading else "suspend",
        "listTime": str(_LISTED_SINCE_MS),
        "expTime": str(DATED_EXPIRY_MS) if listing.kind == "dated" else "",
        "ruleType": "normal",
        "upcChg": [],
    }


def _json(data: list[Any]) -> Response:
    return Response(200, msgspec.json.encode({"code": "0", "msg": "", "data": data}))


def _error(code: str, message: str, *, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode({"code": code, "msg": message, "data": []}))
