"""What both stacks of MEXC share as servers: how REST lags behind the sockets, and how a socket ends without a code."""

from collections.abc import Callable, Mapping
from typing import ClassVar

from ops.simulator.faults import Misbehaviour
from ops.simulator.feed import Feed
from ops.simulator.venue import Venue
from ops.simulator.wire import Peer

_EMPTY_CLOSE = b"\x88\x00"  # a close frame of no payload: clients see code 1005

CLOSE_GRACE_MS = 5000.0  # a client that does not answer such a frame is cut after this

Book = tuple[int, list[tuple[int, int]], list[tuple[int, int]]]


def lagging_rest(venue: Venue, *, pair: str, versions: int = 200) -> Misbehaviour:
    """REST shows an old book of the pair until that is more than `versions` behind, then the book of then, and so on.
    Realistic: 1 to 415 versions were measured (§5.3)."""
    return venue.faults.add(Misbehaviour("lagging_rest", pair, options={"versions": versions, "book": None}))


def crossed_rest(venue: Venue, *, pair: str, count: int = 1) -> Misbehaviour:
    """The next `count` REST snapshots of the pair bid as much as the best ask. Seen on spot in the past (§5.1)."""
    return venue.faults.add(Misbehaviour("crossed_rest", pair, count))


class MexcVenue(Venue):
    """A market of MEXC."""

    venue = "mexc"
    own_misbehaviours: ClassVar[Mapping[str, Callable[..., Misbehaviour]]] = {
        "lagging_rest": lagging_rest,
        "crossed_rest": crossed_rest,
    }

    def snapshot(self, feed: Feed) -> Book:
        """The book that REST shows, old or crossed while told so."""
        book = self._lagged(feed, super().snapshot(feed))
        sequence, bids, asks = book
        if asks and self.faults.take("crossed_rest", feed.pair):
            return sequence, [(asks[0][0], 1), *bids], asks
        return book

    def _lagged(self, feed: Feed, book: Book) -> Book:
        lagging = self.faults.find("lagging_rest", feed.pair)
        if lagging is None:
            return book
        shown: Book | None = lagging.options["book"]
        if shown is None or book[0] - shown[0] > lagging.options["versions"]:
            shown = lagging.options["book"] = book
        return shown

    @staticmethod
    def end_without_code(peer: Peer) -> None:
        """A close frame that says nothing (§10)."""
        peer.queue(_EMPTY_CLOSE)
        peer.flush()
