"""The control endpoint: misbehaviours, exact books and counts over HTTP, for tests in other processes.

    POST /_control {"venue", "market", "action", …options, "end": true to switch it off}  -> {"ok": true}
    GET  /_control/book?venue=&market=&pair=   -> {"sequence", "bids": [[price, size]], "asks"}, venue text and units
    GET  /_control/stats                       -> [{"venue", "market", …counts}]
    GET  /_control/requests?venue=&market=     -> [[Unix ms, path and query or "websocket", HTTP status]], oldest first

Every port answers for the whole simulator; venue and market default to the port's own. No venue has this path.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from fleet.errors import ConfigError
from ops.simulator.faults import ANY_PAIR
from ops.simulator.misbehaviours import MISBEHAVIOURS
from ops.simulator.wire import Request, Response

if TYPE_CHECKING:
    from ops.simulator.venue import Venue


def answer(venues: dict[tuple[str, str], "Venue"], default: "Venue", request: Request) -> Response:
    """Answer a request under /_control; 400 with {"error"} for one that cannot be right."""
    try:
        return Response(200, msgspec.json.encode(_carry_out(venues, default, request)))
    except (ConfigError, msgspec.DecodeError) as error:
        return Response(400, msgspec.json.encode({"error": str(error)}))


def _carry_out(venues: dict[tuple[str, str], "Venue"], default: "Venue", request: Request) -> Any:
    route = (request.method, request.path.rstrip("/"))
    if route == ("GET", "/_control/stats"):
        return [{"venue": v.venue, "market": v.market, **v.statistics()} for v in venues.values()]
    if route == ("GET", "/_control/book"):
        return _named(venues, default, request.query).book(request.query.get("pair", ""))
    if route == ("GET", "/_control/requests"):
        return list(_named(venues, default, request.query).requests)
    if route != ("POST", "/_control"):
        raise ConfigError(
            f"{request.method} {request.path}: expected POST /_control, GET /_control/book, /_control/stats or "
            "/_control/requests"
        )
    order = msgspec.json.decode(request.body, type=dict[str, Any])
    venue = _named(venues, default, order)
    options = {name: value for name, value in order.items() if name not in ("venue", "market", "action", "end")}
    action = str(order.get("action", ""))
    if not order.get("end"):
        venue.misbehave(action, **options)
        return {"ok": True}
    known = {**MISBEHAVIOURS, **venue.own_misbehaviours}
    if action not in known:
        raise ConfigError(f"misbehaviour {action!r}: expected one of {', '.join(known)}")
    return {"ok": True, "ended": venue.behave(action, str(options.get("pair", ANY_PAIR)))}


def _named(venues: dict[tuple[str, str], "Venue"], default: "Venue", words: dict[str, Any]) -> "Venue":
    key = (str(words.get("venue", default.venue)), str(words.get("market", default.market)))
    if key not in venues:
        raise ConfigError(f"{key[0]} {key[1]} is not simulated here; there are: {', '.join(map(' '.join, venues))}")
    return venues[key]
