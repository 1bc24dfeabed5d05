"""PURE. What Hyperliquid's socket says beside market data: answers, errors in words, other channels (sheet, sections 3 and 4)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from books.decimals import canonical
from feeds.venue import Ack, Message, Pong, Refusal, Undecodable, Unused
from feeds.venues.hyperliquid.metadata import VENUE

_UNREADABLE: Final = "Error parsing JSON into valid websocket request"
# Fields at the top of answers of REST, which recordings mix among frames; a socket sends nothing without `channel`.
_REST_WORDS: Final = frozenset({"universe", "levels", "assetPositions", "balances", "cumVlm", "maxSupply", "status"})


def topic_name(kind: str, coin: str) -> str:
    """A topic is a subscription type and a coin: `l2Book:BTC`, `bbo:xyz:TSLA`, `trades:@107`."""
    return f"{kind}:{coin}"


def _topic_of(subscription: object) -> str | None:
    """The topic that an echoed subscription means, None if it means none of ours. Another flavour of a book (fast, coarse)
    is another topic."""
    if not isinstance(subscription, dict) or not isinstance(subscription.get("type"), str):
        return None
    name = topic_name(subscription["type"], str(subscription.get("coin", "")))[:100]
    flavour = [word for word in ("nSigFigs", "mantissa", "fast") if subscription.get(word)]
    return f"{name} {' '.join(flavour)}" if flavour else name


def _ack(data: object) -> Message:
    method = data.get("method") if isinstance(data, dict) else None
    if not isinstance(data, dict) or method not in ("subscribe", "unsubscribe"):
        raise Undecodable(f"{VENUE}: expected an answer to subscribe or unsubscribe, got {str(method)[:40]!r}")
    return Ack(None, _topic_of(data.get("subscription")), method == "subscribe")


def _refusal(data: object) -> Message:
    """Words, then what they are about as JSON."""
    if not isinstance(data, str):
        raise Undecodable(f"{VENUE}: expected an error in words, got {type(data).__name__}")
    words, _, echo = data.partition(": ")
    try:
        about = msgspec.json.decode(echo) if echo else None
    except (ValueError, RecursionError):
        about = None  # what could not be read is echoed as it was
    if isinstance(about, dict) and "subscription" in about:
        about = about["subscription"]
    unreadable = words == _UNREADABLE
    code = "unreadable request" if unreadable else words[:60]
    return Refusal(None, _topic_of(about), code, data[:200], unreadable, standing=words == "Already subscribed")


def answer(value: Mapping[str, Any]) -> Message:
    """A frame that is neither market data nor broken. Raises Undecodable."""
    channel = value.get("channel")
    if channel == "pong":
        return Pong()
    if channel == "subscriptionResponse":
        return _ack(value.get("data"))
    if channel == "error":
        return _refusal(value.get("data"))
    if isinstance(channel, str):
        return Unused(f"channel {channel[:40]}")
    if channel is None and "method" in value:
        return Unused(f"request of method {str(value['method'])[:40]}")
    if channel is None and not _REST_WORDS.isdisjoint(value):
        return Unused("answer of REST")
    if channel is None and value and all(isinstance(price, str) and canonical(price) for price in value.values()):
        return Unused("answer of REST: prices by coin")
    raise Undecodable(f"{VENUE}: neither a channel nor an answer: {sorted(value)[:8]}")
