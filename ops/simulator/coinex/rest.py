"""CoinEx's public REST: health, metadata, books, trades (venues/coinex.md §1, §5.4, §7). Errors come with HTTP 200."""

from typing import Any

import msgspec

from ops.simulator.catalogue import Listing, digits
from ops.simulator.coinex import text as coinex_text
from ops.simulator.coinex.listing import DELISTED_AT_MS
from ops.simulator.coinex.trades import Trades
from ops.simulator.limits import SlidingLimit
from ops.simulator.venue import Venue
from ops.simulator.wire import Request, Response

DEPTHS = (5, 10, 20, 50)
_SCOPES = {"spot": "SPOT", "futures": "PERPETUAL"}
_REQUESTS, _WINDOW_MS = 400, 1000.0  # of one IP
_MOST_NAMED = 10


class CoinExRest:
    """Answers one venue-market's REST requests. A real host serves spot and futures together; a port here has one."""

    def __init__(self, venue: Venue, trades: Trades) -> None:
        self._venue = venue
        self._trades = trades
        self._limits: dict[str, SlidingLimit] = {}

    def answer(self, request: Request) -> Response:
        """One request."""
        if request.method not in ("GET", "POST"):
            return _error(4009, "Invalid request method")
        limit = self._limits.setdefault(request.remote_ip, SlidingLimit(_REQUESTS, _WINDOW_MS))
        if self._venue.enforce_limits and not limit.allows(self._venue.mono_ms()):
            self._venue.breach("rest rate")
            return self.limited()
        own = f"/v2/{self._venue.market}/"
        answers = {
            "/v2/ping": self._ping, "/v2/time": self._time, "/v2/maintain/info": self._maintenance, own + "market": self._markets,
            own + "depth": self._depth, own + "deals": self._deals, own + "ticker": self._ticker,
        }  # fmt: skip
        found = answers.get(request.path) if request.method == "GET" else None
        return found(request) if found else Response(404, b"404 page not found", content_type="text/plain")

    def limited(self) -> Response:
        """Over the limit: a code, and HTTP 200 (§7.3)."""
        return _error(4213, "Rate limit triggered")

    def _ping(self, request: Request) -> Response:
        return _json({"result": "pong"})

    def _time(self, request: Request) -> Response:
        return _json({"timestamp": self._venue.wall_ms()})

    def _maintenance(self, request: Request) -> Response:
        on = self._venue.faults.find("maintenance")
        if on is None:
            return _json([])
        scope = on.options["scope"] or _SCOPES[self._venue.market]
        ended_at = on.options["ended_at"]
        return _json(
            [
                {
                    "started_at": on.options["started_at"],
                    "ended_at": ended_at,
                    "protect_duration_start": ended_at,
                    "protect_duration_end": ended_at + 900_000,
                    "announce_enabled": False,
                    "announce_url": "",
                    "scope": [scope],
                }
            ]
        )

    def _named(self, request: Request) -> list[Listing] | Response:
        """The markets that a request names, or all."""
        names = [name for name in request.query.get("market", "").split(",") if name]
        if len(names) > _MOST_NAMED:
            return _error(4004, "Parameter error: market")
        if unknown := [name for name in names if name not in self._venue.listings]:
            return _error(3639, f"Market not found: {unknown[0]}")
        return [self._venue.listings[name] for name in names or self._venue.listings]

    def _markets(self, request: Request) -> Response:
        named = self._named(request)
        return named if isinstance(named, Response) else _json([_describe(one) for one in named])

    def _depth(self, request: Request) -> Response:
        name, limit = request.query.get("market", ""), request.query.get("limit", "")
        if name not in self._venue.listings:
            return _error(3639, f"Market not found: {name}")
        if limit not in map(str, DEPTHS) or request.query.get("interval", "0") != "0":
            return _error(4004, "Parameter error: limit or interval")
        feed = self._venue.feed(name)
        _, bids, asks = self._venue.snapshot(feed)
        bids, asks = bids[: int(limit)], asks[: int(limit)]
        data = coinex_text.depth(
            feed, bids, asks, is_full=True, last=self._trades.last_price(feed), wall_ms=self._venue.wall_ms(),
            check=coinex_text.checksum(feed, bids, asks),
        )  # fmt: skip
        return _raw(data)

    def _deals(self, request: Request) -> Response:
        name = request.query.get("market", "")
        if name not in self._venue.listings:
            return _error(3639, f"Market not found: {name}")
        return _raw(f"[{','.join(self._trades.recent(self._venue.feed(name)))}]")

    def _ticker(self, request: Request) -> Response:
        named = self._named(request)
        if isinstance(named, Response):
            return named
        feeds = [self._venue.feed(one.id) for one in named]
        return _raw(f"[{','.join(coinex_text.state(feed, self._trades.last_price(feed)) for feed in feeds)}]")


def _describe(listing: Listing) -> dict[str, Any]:
    spot = listing.kind == "spot"
    common = {
        "market": listing.id,
        "base_ccy": listing.base,
        "quote_ccy": listing.quote,
        "base_ccy_precision": digits(listing.lot),
        "quote_ccy_precision": digits(listing.tick) if spot else 8,  # of futures: not the price step
        "min_amount": f"{listing.lot * 10:f}",
        "maker_fee_rate": "0.002" if spot else "0.0003",
        "taker_fee_rate": "0.002" if spot else "0.0005",
        "status": "online" if listing.trading else "counting_down",
        "is_api_trading_available": listing.trading,
        "delisted_at": DELISTED_AT_MS.get(listing.id, 0),
    }
    if spot:
        return common | {
            "is_amm_available": True,
            "is_margin_available": True,
            "is_pre_market_trading_available": False,
        }
    return common | {
        "contract_type": "inverse" if listing.kind == "inverse" else "linear",
        "tick_size": f"{listing.tick:f}",
        "leverage": ["1", "2", "3", "5", "8", "10", "15", "20", "30", "50", "100"],
        "is_market_available": listing.trading,
        "is_copy_trading_available": True,
        "open_interest_volume": "0",
    }


def _json(data: Any) -> Response:
    return Response(200, msgspec.json.encode({"code": 0, "data": data, "message": "OK"}))


def _raw(data: str) -> Response:
    return Response(200, f'{{"code":0,"data":{data},"message":"OK"}}'.encode())


def _error(code: int, message: str) -> Response:
    return Response(200, msgspec.json.encode({"code": code, "data": {}, "message": message}))
