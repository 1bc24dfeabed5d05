"""The three rules of joining, one at a time; the property over random histories is in test_join_property.py."""

from books.events import Delta, Reset, ResetReason, Snapshot, SnapshotReason
from books.join import Follower, Rejoin, Status, entry_order
from books.loaded import LoadedBook, parse_loaded
from fleet.cell import Cell
from fleet.pair import Pair

PAIR = Pair("somewhere", "spot", "BTC/USDT")


def found(n: int = 5, status: str = "live", *, lease: bool = True, epoch: int = 100) -> LoadedBook:
    return LoadedBook(
        pair=PAIR, status=status, now_ms=1000, lease_alive=lease, cell=Cell(epoch, n, "50", f"{n}-0"),
        bids={"1": "1"}, asks={"2": "1"}, n=n, id=f"{n}-0", epoch=epoch, sequence=50,
    )  # fmt: skip


def delta(n: int, epoch: int = 100) -> Delta:
    return Delta(pair=PAIR, received_us=1, bids={"1": str(n)}, asks={}, sequence=n * 10, n=n, epoch=epoch, id=f"{n}-0")


def joined() -> Follower:
    follower = Follower(PAIR)
    snapshot = follower.loaded(found())
    assert snapshot is not None
    assert snapshot.reason is SnapshotReason.JOIN
    return follower


def test_the_next_entry_is_applied_and_a_known_one_dropped() -> None:
    follower = joined()
    assert follower.entry(delta(4)) is None
    assert follower.entry(delta(5)) is None
    assert isinstance(follower.entry(delta(6)), Delta)
    assert (follower.n, follower.sequence, follower.book.bids["1"]) == (6, 60, "6")


def test_a_hole_makes_the_reader_join_again_and_changes_nothing() -> None:
    follower = joined()
    assert follower.entry(delta(7)) is Rejoin.HOLE
    assert (follower.n, follower.book.bids["1"]) == (5, "1")


def test_a_known_number_under_a_higher_epoch_is_a_fork() -> None:
    follower = joined()
    assert follower.entry(delta(5, epoch=101)) is Rejoin.FORK
    assert follower.entry(delta(6, epoch=101)) is not Rejoin.FORK


def test_a_reset_makes_the_book_unusable_until_the_snapshot() -> None:
    follower = joined()
    follower.entry(Reset(pair=PAIR, received_us=1, reason=ResetReason.GAP, n=6, epoch=100, id="6-0"))
    assert follower.status is Status.RESYNC
    assert not follower.book.bids
    assert follower.entry(delta(7)) is None
    assert not follower.book.bids
    snapshot = Snapshot(
        pair=PAIR,
        received_us=1,
        bids={"3": "1"},
        asks={"4": "1"},
        reason=SnapshotReason.RESYNC,
        n=8,
        epoch=100,
        id="8-0",
    )
    assert follower.entry(snapshot) is snapshot
    assert follower.status is Status.LIVE
    assert follower.book.bids == {"3": "1"}


def test_a_book_without_a_lease_is_stale_and_live_again_with_it() -> None:
    follower = joined()
    assert follower.audit(Cell(100, 5, "50", "5-0"), lease_alive=False, read_to="5-0") is None
    assert follower.status is Status.STALE
    follower.audit(Cell(100, 5, "50", "5-0"), lease_alive=True, read_to="5-0")
    assert follower.status is Status.LIVE


def test_the_audit_sees_a_trimmed_tail_but_not_entries_still_to_be_read() -> None:
    follower = joined()
    assert follower.audit(Cell(100, 9, "90", "9-0"), lease_alive=True, read_to="8-0") is None
    assert follower.audit(Cell(100, 9, "90", "9-0"), lease_alive=True, read_to="9-0") is Rejoin.BEHIND
    assert follower.audit(None, lease_alive=True, read_to="9-0") is Rejoin.FORK
    assert follower.audit(Cell(101, 3, "30", "3-0"), lease_alive=True, read_to="9-0") is Rejoin.FORK


def test_the_audit_sees_a_fork_that_has_come_to_the_same_number() -> None:
    follower = joined()
    assert (
        follower.audit(Cell(101, 5, "50", "5-0"), lease_alive=True, read_to="9-0") is None
    )  # a new owner, nothing written
    assert follower.audit(Cell(101, 5, "77", "4-7"), lease_alive=True, read_to="9-0") is Rejoin.FORK


def test_a_missing_book_starts_at_the_cell_and_lives_from_the_first_snapshot() -> None:
    follower = Follower(PAIR)
    assert follower.loaded(parse_loaded(PAIR, {}, {}, {}, b"100 7 - 7-0", True, 1)) is None
    assert (follower.status, follower.n) == (Status.MISSING, 7)
    snapshot = Snapshot(
        pair=PAIR, received_us=1, bids={}, asks={}, reason=SnapshotReason.FIRST, n=8, epoch=100, id="8-0"
    )
    assert follower.entry(snapshot) is snapshot
    assert follower.status is Status.LIVE


def test_a_resyncing_book_is_never_shown_even_when_its_owner_died() -> None:
    follower = Follower(PAIR)
    empty = {b"status": b"stale", b"n": b"5", b"epoch": b"1", b"id": b"5-0"}
    assert follower.loaded(parse_loaded(PAIR, empty, {}, {}, b"1 5 - 5-0", False, 1)) is None
    assert follower.status is Status.RESYNC


def test_a_loaded_book_is_live_only_while_its_lease_stands() -> None:
    main = {b"status": b"live", b"n": b"5", b"id": b"5-0", b"epoch": b"1", b"checked_ms": b"900", b"sequence": b"-"}
    args = (main, {b"1": b"1"}, {b"2": b"1"}, b"1 5 - 5-0")
    assert parse_loaded(PAIR, *args, True, 1000).live
    stale = parse_loaded(PAIR, *args, False, 1000)
    assert (stale.live, stale.status, stale.age_ms, stale.sequence) == (False, "stale", 100, None)


def test_stream_ids_compare_as_numbers() -> None:
    assert entry_order("1000-9") < entry_order("1000-10") < entry_order("10000-0")
