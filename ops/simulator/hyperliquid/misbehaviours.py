"""What only Hyperliquid does wrong (venues/hyperliquid.md §4 and §10), beside ops.simulator.misbehaviours."""

from typing import TYPE_CHECKING

from ops.simulator.faults import Misbehaviour

if TYPE_CHECKING:
    from ops.simulator.hyperliquid.public import HyperliquidPublic


def mute(venue: "HyperliquidPublic") -> Misbehaviour:
    """Every open socket stays and answers pings, but brings no market data any more, of any coin. What is unsubscribed and
    subscribed again is heard, and so are sockets opened later. Real ones fall silent after a day or two, not at once."""
    for peer in venue.peers:
        for asked in peer.session.subscribed:
            venue.stop(peer, asked)
    return Misbehaviour("mute", active=False)


def delist(venue: "HyperliquidPublic", *, pair: str) -> Misbehaviour:
    """A coin is gone: from the metadata, from its streams, and asking for it closes the socket. Builder dexes do so to
    their coins; on the venue's own the coin stays listed as delisted. When it ends the coin exists again."""
    feed = venue.feed_of_pair(pair)
    coin = feed.listing.id
    venue.withdrawn.add(coin)
    for stream in feed.listened():
        for peer in list(stream.raw):
            venue.leave(stream, peer)
    return venue.faults.add(Misbehaviour("delist", pair, on_end=lambda: venue.withdrawn.discard(coin)))
