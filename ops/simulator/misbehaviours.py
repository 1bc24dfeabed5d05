"""The named misbehaviours of a simulated venue. One function a name; its docstring says what is unrealistic about it.

sim.venue("binance", "spot").misbehave("drop", pair="BTC/USDT", count=1)
with sim.venue("okx", "spot").misbehave("stall", pair="BTC/USDT"): ...
POST /_control {"venue": "okx", "market": "spot", "action": "stall", "pair": "BTC/USDT"}      ("end": true ends it)
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fleet.errors import ConfigError
from ops.simulator.faults import ANY_PAIR, Misbehaviour

if TYPE_CHECKING:
    from ops.simulator.venue import Venue


def drop(venue: "Venue", *, pair: str, count: int = 1) -> Misbehaviour:
    """Lose the next `count` book deltas of a pair, for every client. Real venues lose them for one connection."""
    return venue.faults.add(Misbehaviour("drop", pair, count))


def duplicate(venue: "Venue", *, pair: str, count: int = 1) -> Misbehaviour:
    """Send the next `count` book deltas of a pair twice. Real duplicates come from two connections, not from one."""
    return venue.faults.add(Misbehaviour("duplicate", pair, count))


def reorder(venue: "Venue", *, pair: str, count: int = 1) -> Misbehaviour:
    """Send a delta behind its successor, `count` times. Unrealistic on one TCP connection of a sane venue."""
    return venue.faults.add(Misbehaviour("reorder", pair, count))


def stall(venue: "Venue", *, pair: str) -> Misbehaviour:
    """Send nothing of one pair, heartbeats and other pairs go on. When it ends, one delta tells everything missed:
    a real venue would more often leave a gap or send a new snapshot."""
    return venue.faults.add(Misbehaviour("stall", pair))


def half_open(venue: "Venue") -> Misbehaviour:
    """Every open connection stays, but nothing leaves any more, not even a pong. Connections opened later work.
    A connection never recovers, as with a lost NAT entry."""
    for peer in venue.peers:
        peer.silenced = True
    return Misbehaviour("half_open", active=False)


def close_all(venue: "Venue", *, code: int = 1001, reason: str = "", hard: bool = False) -> Misbehaviour:
    """Close every connection now with a close frame, or (`hard`) cut TCP without one."""
    for peer in list(venue.peers):
        if hard:
            peer.abort()
        else:
            peer.close(code, reason)
    return Misbehaviour("close_all", active=False)


def slow(venue: "Venue", *, delay_ms: float = 500) -> Misbehaviour:
    """Everything sent on websockets leaves `delay_ms` late, in order. A real slow path also varies."""

    def recover() -> None:
        for peer in venue.peers:
            peer.delay_s = 0.0

    for peer in venue.peers:
        peer.delay_s = delay_ms / 1000
    return venue.faults.add(Misbehaviour("slow", options={"delay_ms": delay_ms}, on_end=recover))


def refuse(venue: "Venue", *, hard: bool = False) -> Misbehaviour:
    """Refuse new websockets and REST requests with HTTP 503, or (`hard`) by cutting TCP. Open websockets go on."""
    return venue.faults.add(Misbehaviour("refuse", options={"hard": hard}))


def rate_limit(venue: "Venue", *, status: int = 429, retry_after_s: int = 2) -> Misbehaviour:
    """Answer every REST request as over the limit: 429, or 418 (banned), with Retry-After where the venue has it.
    A real venue starts with used-up weight and ends by the clock; this ends when told."""
    return venue.faults.add(Misbehaviour("rate_limit", options={"status": status, "retry_after_s": retry_after_s}))


def stale_snapshot(venue: "Venue", *, pair: str, count: int = 1) -> Misbehaviour:
    """The next `count` REST snapshots show the book of now, while the market has gone on: older than the buffer of
    who subscribes from now on. Realistic: REST is served from caches."""
    feed = venue.feed_of_pair(pair)
    book = feed.instrument.book_at_now()
    venue.advance(feed)
    return venue.faults.add(Misbehaviour("stale_snapshot", pair, count, {"book": book}))


def garbage(venue: "Venue", *, pair: str = ANY_PAIR, count: int = 1) -> Misbehaviour:
    """Send half of a message as a frame of its own before the message, `count` times: JSON that does not parse.
    Unrealistic: venues send wrong JSON (wrong types, new fields) more often than broken JSON."""
    return venue.faults.add(Misbehaviour("garbage", pair, count))


def crossed(venue: "Venue", *, pair: str, count: int = 1) -> Misbehaviour:
    """A book delta bids above the best ask; the next delta takes the bid away. The simulator's own book, the REST
    snapshot and other streams stay right, so a client that resyncs is right at once."""
    return venue.faults.add(Misbehaviour("crossed", pair, count))


def bad_checksum(venue: "Venue", *, pair: str, count: int = 1) -> Misbehaviour:
    """The next `count` book messages of a pair carry a checksum that is not theirs; levels are right. Raises ConfigError
    where the venue has no checksums. Seen on real venues as a wrong book, not as a wrong sum."""
    if not venue.checksums:
        raise ConfigError(f"misbehaviour bad_checksum: book messages of {venue.venue} {venue.market} carry none")
    return venue.faults.add(Misbehaviour("bad_checksum", pair, count))


def wrong_ack(venue: "Venue", *, count: int = 1) -> Misbehaviour:
    """The next `count` subscribe requests are acknowledged for something that was not asked: another id (Binance),
    another instrument (OKX). The subscription itself works. Not seen on a real venue."""
    return venue.faults.add(Misbehaviour("wrong_ack", left=count))


def freeze_market(venue: "Venue") -> Misbehaviour:
    """The generated market stops after telling everything until now, so that final books can be compared. Heartbeats
    and keepalives go on. A real market is this quiet only in a halt."""

    def thaw() -> None:
        venue.frozen = False

    venue.freeze()
    return venue.faults.add(Misbehaviour("freeze_market", on_end=thaw))


def shutdown_notice(venue: "Venue", *, close_after_s: float = 60.0) -> Misbehaviour:
    """Announce a shutdown (Binance `serverShutdown`, OKX notice 64008) and close all who heard it after
    `close_after_s`. Binance promises no lead time and documents none for futures."""
    venue.announce_shutdown()
    heard = list(venue.peers)

    def close() -> None:
        for peer in heard:
            peer.close(1001, "service upgrade")

    asyncio.get_running_loop().call_later(close_after_s, close)
    return Misbehaviour("shutdown_notice", active=False)


MISBEHAVIOURS: dict[str, Callable[..., Misbehaviour]] = {
    "drop": drop, "gap": drop, "duplicate": duplicate, "reorder": reorder, "stall": stall, "half_open": half_open,
    "close_all": close_all, "slow": slow, "refuse": refuse, "rate_limit": rate_limit,
    "bad_checksum": bad_checksum, "stale_snapshot": stale_snapshot, "garbage": garbage, "crossed": crossed,
    "wrong_ack": wrong_ack, "freeze_market": freeze_market, "shutdown_notice": shutdown_notice,
}  # fmt: skip


def misbehave(venue: "Venue", name: str, options: dict[str, Any]) -> Misbehaviour:
    """Switch misbehaviour `name` on. Raises ConfigError for an unknown name, option or pair."""
    known = {**MISBEHAVIOURS, **venue.own_misbehaviours}
    start = known.get(name)
    if start is None:
        raise ConfigError(f"misbehaviour {name!r}: expected one of {', '.join(known)}")
    try:
        inspect.signature(start).bind(venue, **options)
    except TypeError as error:
        raise ConfigError(f"misbehaviour {name}: {error}") from None
    if options.get("pair"):
        venue.feed_of_pair(options["pair"])  # a misspelt pair would misbehave in silence
    return start(venue, **options)
