"""PURE. CoinEx's pushes as typed payloads, and what they become. Source: venue sheet `coinex`, sections 5 and 6."""

from typing import Annotated, Any, Final, Literal

import msgspec

from books.decimals import SPELLINGS
from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from feeds.venue import Instrument
from feeds.venues.coinex.checksum import Evidence, Rows

_Millis = Annotated[int, msgspec.Meta(ge=0, le=10**15)]


class Depth(msgspec.Struct, gc=False):
    """A side may be absent: it did not change. Without its checksum a message would prove nothing."""

    updated_at: _Millis
    checksum: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**32 - 1)]
    asks: Rows = []
    bids: Rows = []


class Book(msgspec.Struct, gc=False):
    """The `data` of `depth.update`."""

    market: str
    is_full: bool
    depth: Depth


class Best(msgspec.Struct, gc=False):
    """The `data` of `bbo.update`."""

    market: str
    updated_at: _Millis
    best_bid_price: str
    best_bid_size: str
    best_ask_price: str
    best_ask_size: str


class Deal(msgspec.Struct, gc=False):
    """One trade; `side` is the taker's."""

    deal_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    created_at: _Millis
    side: Literal["buy", "sell"]
    price: str
    amount: str


class Deals(msgspec.Struct, gc=False):
    """The `data` of `deals.update`, newest first."""

    market: str
    deal_list: list[Deal]


class BookPush(msgspec.Struct, gc=False):
    """A whole frame."""

    data: Book


class BestPush(msgspec.Struct, gc=False):
    """A whole frame."""

    data: Best


class DealsPush(msgspec.Struct, gc=False):
    """A whole frame."""

    data: Deals


Push = BookPush | BestPush | DealsPush
PAYLOADS: Final[dict[str, Any]] = {
    "depth.update": BookPush,
    "bbo.update": BestPush,
    "deals.update": DealsPush,
}
DECODERS: Final = {method: msgspec.json.Decoder(payload) for method, payload in PAYLOADS.items()}


class RestBook(msgspec.Struct):
    """An answer of `/X/depth`; `data` is read as a Book once `code` is 0."""

    code: int
    data: msgspec.Raw = msgspec.Raw(b"null")
    message: str = ""


rest_book: Final = msgspec.json.Decoder(RestBook)
book_data: Final = msgspec.json.Decoder(Book)


def _levels(rows: Rows) -> dict[str, str]:
    """Both canonical. Spelled one by one: the Proof reads the same rows again and must find decimals only."""
    spelled = SPELLINGS
    return {spelled[price]: spelled[size] for price, size in rows}


def snapshot_of(book: Book, instrument: Instrument, received_us: int) -> Snapshot:
    """A full image. Raises NotDecimal."""
    return Snapshot(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=book.depth.updated_at,
        bids=_levels(book.depth.bids),
        asks=_levels(book.depth.asks),
        reason=SnapshotReason.FIRST,
    )


def delta_of(book: Book, instrument: Instrument, received_us: int) -> Delta:
    """What changed. Raises NotDecimal."""
    return Delta(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=book.depth.updated_at,
        bids=_levels(book.depth.bids),
        asks=_levels(book.depth.asks),
    )


def evidence_of(book: Book) -> Evidence:
    """For the book's Proof, after `snapshot_of` or `delta_of` has found decimals only."""
    return Evidence(book.is_full, book.depth.bids, book.depth.asks, book.depth.checksum)


def _side(price: str, size: str) -> tuple[str, str]:
    """An empty side has no price, or a size of nothing."""
    if not price or SPELLINGS[size] == "0":
        return "", ""
    return SPELLINGS[price], SPELLINGS[size]


def bbo_of(best: Best, instrument: Instrument, received_us: int) -> Bbo:
    """Raises NotDecimal."""
    bid, bid_amount = _side(best.best_bid_price, best.best_bid_size)
    ask, ask_amount = _side(best.best_ask_price, best.best_ask_size)
    return Bbo(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=best.updated_at,
        bid=bid,
        bid_amount=bid_amount,
        ask=ask,
        ask_amount=ask_amount,
    )


def trade_of(deal: Deal, instrument: Instrument, received_us: int) -> Trade:
    """Raises NotDecimal."""
    return Trade(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=deal.created_at,
        price=SPELLINGS[deal.price],
        amount=SPELLINGS[deal.amount],
        side=deal.side,
        trade_id=str(deal.deal_id),
    )
