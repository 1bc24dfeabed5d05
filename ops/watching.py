"""PURE. An event as one line of `fleet watch`: JSON for pipes, text for people."""

import json
from typing import Any

from books.events import KIND_OF, Bbo, Delta, Event, Reset, Snapshot, Trade
from ops.ladder import asks_best_first, bids_best_first
from ops.shown import clock_time

_TEXT_LEVELS = 3  # a side, in a line for people


def fields(event: Event) -> dict[str, Any]:
    """The shape of `fleet watch --json`. Bids and asks are best first; a delta's are what changed, amount 0: gone."""
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    if isinstance(event, Snapshot | Delta):
        bids, asks = bids_best_first(event.bids), asks_best_first(event.asks)
    elif isinstance(event, Bbo):
        bids = [(event.bid, event.bid_amount)] if event.bid else []
        asks = [(event.ask, event.ask_amount)] if event.ask else []
    line: dict[str, Any] = {
        "kind": KIND_OF[type(event)].value,
        "n": event.n,
        "epoch": event.epoch,
        "sequence": getattr(event, "sequence", None),
        "bids": bids,
        "asks": asks,
        "venue_ms": event.venue_ms,
        "received_us": event.received_us,
    }
    if isinstance(event, Snapshot | Reset):
        line["reason"] = event.reason.value
    if isinstance(event, Trade):
        line |= {"price": event.price, "amount": event.amount, "side": event.side, "trade_id": event.trade_id}
    return line


def as_json(event: Event) -> str:
    """One line of JSON."""
    return json.dumps(fields(event))


def as_text(event: Event) -> str:
    """One line for people: time received, kind, n, sequence, the best of what came."""
    line = fields(event)
    words = [clock_time(event.received_us // 1000), f"{line['kind']:<8}", f"n {event.n}"]
    if line["sequence"] is not None:
        words.append(f"sequence {line['sequence']}")
    words += [line[name] for name in ("reason", "side", "amount", "price") if name in line]
    for name in ("bids", "asks"):
        levels = line[name]
        if levels:
            some = " ".join(f"{price}×{amount}" for price, amount in levels[:_TEXT_LEVELS])
            more = f" +{len(levels) - _TEXT_LEVELS}" if len(levels) > _TEXT_LEVELS else ""
            words.append(f"{name} {some}{more}")
    return "  ".join(words)
