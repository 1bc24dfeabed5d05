"""PURE. A book as one atomic read found it in Redis: three hashes, the tail cell, the lease, the server's time."""

from collections.abc import Mapping

import msgspec

from fleet.cell import Cell
from fleet.pair import Pair


class LoadedBook(msgspec.Struct, frozen=True, kw_only=True):
    """`n` is the last event included in the levels; a reader goes on in the stream after `id`."""

    pair: Pair
    status: str  # live, resync, stale; missing where there is no book
    now_ms: int  # the server's clock at the read
    lease_alive: bool
    cell: Cell | None
    bids: Mapping[str, str] = {}
    asks: Mapping[str, str] = {}
    n: int = 0
    id: str = "0-0"
    epoch: int = 0
    owner: str = ""
    depth: str = ""
    sequence: int | None = None
    venue_ms: int | None = None
    received_us: int = 0
    published_ms: int = 0
    checked_ms: int = 0
    bbo: Mapping[str, str] = {}

    @property
    def live(self) -> bool:
        """Trustworthy now: marked live by its owner, and the owner's lease stands."""
        return self.status == "live"

    @property
    def age_ms(self) -> int | None:
        """Since the owner last proved the book fresh, by the server's clock; None where there is no book."""
        return max(0, self.now_ms - self.checked_ms) if self.checked_ms else None


def _number(fields: Mapping[bytes, bytes], name: bytes) -> int | None:
    text = fields.get(name, b"")
    return int(text) if text and text != b"-" else None


def parse_loaded(
    pair: Pair,
    main: Mapping[bytes, bytes],
    bids: Mapping[bytes, bytes],
    asks: Mapping[bytes, bytes],
    cell: bytes | None,
    lease_alive: bool,
    now_ms: int,
) -> LoadedBook:
    """Put together what one MULTI returned. A book whose lease is gone is `stale`, whatever its hash still says."""
    parsed_cell = Cell.parse(cell) if cell is not None else None
    if not main or b"n" not in main:
        return LoadedBook(pair=pair, status="missing", now_ms=now_ms, lease_alive=lease_alive, cell=parsed_cell)
    status = main.get(b"status", b"stale").decode()
    return LoadedBook(
        pair=pair,
        status=status if lease_alive else "stale",
        now_ms=now_ms,
        lease_alive=lease_alive,
        cell=parsed_cell,
        bids={price.decode(): amount.decode() for price, amount in bids.items()},
        asks={price.decode(): amount.decode() for price, amount in asks.items()},
        n=int(main[b"n"]),
        id=main.get(b"id", b"0-0").decode(),
        epoch=int(main.get(b"epoch", b"0")),
        owner=main.get(b"owner", b"").decode(),
        depth=main.get(b"depth", b"").decode(),
        sequence=_number(main, b"sequence"),
        venue_ms=_number(main, b"venue_ms"),
        received_us=_number(main, b"received_us") or 0,
        published_ms=_number(main, b"published_ms") or 0,
        checked_ms=_number(main, b"checked_ms") or 0,
        bbo={k.decode(): v.decode() for k, v in main.items() if k.startswith(b"bbo_")},
    )
