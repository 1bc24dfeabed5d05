"""A pair's line of events: what is sent, what is kept, and how it goes on after an unclear answer."""

import msgspec
import pytest

from books.book import Book
from books.events import Bbo, Delta, Event, Mark, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from feeds import outbox as outbox_module
from feeds.outbox import Batch, Outbox, Phase
from feeds.source import NO_BOOK, Source
from fleet.cell import Cell
from fleet.pair import Pair

PAIR = Pair("somewhere", "spot", "BTC/USDT")
TOKEN = 1_795_348_800_000


def snapshot(sequence: int = 10) -> Snapshot:
    return Snapshot(
        pair=PAIR, received_us=5, bids={"1": "1"}, asks={"2": "1"}, reason=SnapshotReason.FIRST, sequence=sequence
    )


def delta(sequence: int, price: str = "1") -> Delta:
    return Delta(pair=PAIR, received_us=6, venue_ms=7, bids={price: str(sequence)}, asks={}, sequence=sequence)


class Line:
    """An outbox with the book that a feed would hold beside it."""

    def __init__(self, *, trades: bool = False) -> None:
        self.book = Book()
        self.sequence: int | None = None
        self.outbox = Outbox(PAIR, owner="me", depth="full", trades=trades)

    def add(self, *events: Event) -> None:
        for event in events:
            if isinstance(event, Snapshot | Delta | Reset):
                self.book.apply(event)
                self.sequence = None if isinstance(event, Reset) else event.sequence
            self.outbox.add(event)

    @property
    def source(self) -> Source:
        return Source(self.book if self.book.bids else None, self.sequence)

    def take(self) -> Batch | None:
        return self.outbox.take(self.source, 9)

    def granted(self, before: Cell | None, n: int, token: int = TOKEN) -> None:
        self.outbox.granted(token, n, before, self.source, 9)


def kinds(batch: Batch | None) -> list[str | bytes]:
    assert batch is not None
    return batch.entries[::2]


def fields(batch: Batch | None) -> dict[str, str]:
    assert batch is not None
    return dict(zip(batch.fields[::2], batch.fields[1::2], strict=True))


@pytest.fixture
def live() -> Line:
    """A line whose first snapshot was accepted."""
    line = Line()
    line.granted(None, TOKEN)
    line.add(snapshot())
    assert kinds(line.take()) == ["snapshot"]
    line.outbox.accepted(hash_patched=True)
    return line


def test_nothing_is_sent_without_a_token() -> None:
    line = Line()
    line.add(snapshot())
    assert line.take() is None
    line.granted(None, TOKEN)
    assert kinds(line.take()) == ["snapshot"]


def test_a_new_line_begins_with_its_snapshot_and_says_live_with_it() -> None:
    line = Line()
    line.granted(None, TOKEN)
    line.add(snapshot(), delta(11))
    batch = line.take()
    assert kinds(batch) == ["snapshot", "delta"]
    assert batch is not None
    assert (batch.n, batch.token, batch.based_on, batch.levels, batch.sequence) == (TOKEN, TOKEN, None, None, "11")
    shown = fields(batch)
    assert (shown["status"], shown["bid"], shown["bid_amount"], shown["owner"]) == ("live", "1", "11", "me")


def test_a_delta_patches_the_hash_at_the_n_flushed_last(live: Line) -> None:
    live.add(delta(11))
    batch = live.take()
    assert batch is not None
    assert (batch.n, batch.based_on, batch.levels) == (TOKEN + 1, TOKEN + 1, None)
    assert "owner" not in fields(batch)


def test_one_batch_is_in_flight_and_the_rest_waits_for_the_next(live: Line) -> None:
    live.add(delta(11))
    assert kinds(live.take()) == ["delta"]
    live.add(delta(12), delta(13))
    assert live.take() is None
    live.outbox.accepted(hash_patched=True)
    assert kinds(live.take()) == ["delta", "delta"]


def test_a_refused_patch_is_followed_by_the_whole_book_even_without_news(live: Line) -> None:
    live.add(delta(11, "0.5"))
    live.take()
    live.outbox.accepted(hash_patched=False)
    batch = live.take()
    assert batch is not None
    assert batch.entries == []
    assert batch.levels is not None
    assert batch.levels == ({"1": "1", "0.5": "11"}, {"2": "1"})
    assert fields(batch)["owner"] == "me"
    live.outbox.accepted(hash_patched=True)
    assert live.take() is None


def test_an_unanswered_batch_that_arrived_is_not_sent_again(live: Line) -> None:
    live.add(delta(11), delta(12))
    live.take()
    live.outbox.doubt()
    live.add(delta(13))
    assert live.take() is None
    live.granted(Cell(TOKEN, TOKEN + 3, "12", "9-0"), TOKEN + 3, TOKEN + 50)
    batch = live.take()
    assert kinds(batch) == ["delta"]
    assert batch is not None
    assert (batch.n, batch.token) == (TOKEN + 3, TOKEN + 50)
    assert batch.levels is not None, "after doubt the first flush is a rewrite"


def test_an_unanswered_batch_that_was_lost_is_sent_again_in_order(live: Line) -> None:
    live.add(delta(11), delta(12))
    live.take()
    live.outbox.doubt()
    live.add(delta(13))
    live.granted(Cell(TOKEN, TOKEN + 1, "10", "9-0"), TOKEN + 1, TOKEN + 50)
    batch = live.take()
    assert kinds(batch) == ["delta", "delta", "delta"]
    assert batch is not None
    assert batch.sequence == "13"


def test_a_line_that_somebody_else_wrote_starts_over_with_reset_and_snapshot(live: Line) -> None:
    live.add(delta(11))
    live.take()
    live.outbox.doubt()
    live.add(delta(12))
    live.granted(Cell(TOKEN + 7, TOKEN + 30, "99", "9-0"), TOKEN + 30, TOKEN + 50)
    batch = live.take()
    assert kinds(batch) == ["reset", "snapshot"]
    assert batch is not None
    assert (batch.n, batch.based_on, batch.sequence) == (TOKEN + 30, None, "12")


def test_a_flushed_server_makes_the_line_start_over_at_its_token(live: Line) -> None:
    live.outbox.doubt()
    live.granted(None, TOKEN + 50, TOKEN + 50)
    batch = live.take()
    assert kinds(batch) == ["reset", "snapshot"]
    assert batch is not None
    assert batch.n == TOKEN + 50


def test_a_takeover_without_a_book_says_reset_at_once() -> None:
    line = Line()
    line.granted(Cell(1, 40, "7", "9-0"), 40)
    batch = line.take()
    assert kinds(batch) == ["reset"]
    assert batch is not None
    assert (batch.sequence, fields(batch)["status"], batch.based_on) == ("-", "resync", None)


def test_a_reset_in_the_middle_leaves_no_sequence_and_no_live_status(live: Line) -> None:
    live.add(delta(11), Reset(pair=PAIR, received_us=8, reason=ResetReason.GAP))
    batch = live.take()
    assert batch is not None
    assert (batch.sequence, fields(batch)["status"]) == ("-", "resync")


def test_a_slow_server_conflates_into_reset_and_the_newest_book(live: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "CONFLATE_AT", 10)
    for sequence in range(11, 40):
        live.add(delta(sequence))
    assert live.outbox.waiting <= 10
    batch = live.take()
    assert kinds(batch) == ["reset", "snapshot"]
    assert batch is not None
    assert batch.sequence == "39"
    assert live.outbox.conflations == 1
    live.outbox.accepted(hash_patched=True)
    live.add(delta(40))
    assert kinds(live.take()) == ["delta"]


def test_conflated_while_resyncing_waits_for_the_feed(live: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "CONFLATE_AT", 10)
    for sequence in range(11, 30):
        live.add(delta(sequence))
    live.add(Reset(pair=PAIR, received_us=8, reason=ResetReason.GAP))
    batch = live.take()
    assert kinds(batch) == ["reset", "reset"]
    live.outbox.accepted(hash_patched=True)
    live.add(snapshot(50))
    assert kinds(live.take()) == ["snapshot"]


def test_bbo_and_marks_leave_the_levels_alone(live: Line) -> None:
    live.add(
        Bbo(pair=PAIR, received_us=8, bid="1", bid_amount="3", ask="2", ask_amount="4"), Mark(pair=PAIR, received_us=9)
    )
    batch = live.take()
    assert kinds(batch) == ["bbo", "mark"]
    assert batch is not None
    assert (batch.levels, batch.sequence) == (None, "10")
    assert (fields(batch)["bbo_bid"], fields(batch)["bbo_ask_amount"]) == ("1", "4")


def test_an_expired_hash_is_written_anew(live: Line) -> None:
    live.outbox.hash_gone()
    batch = live.take()
    assert batch is not None
    assert batch.levels is not None


def test_trades_have_a_line_of_their_own_and_no_book() -> None:
    line = Line(trades=True)
    line.granted(Cell(1, 40, "-", "9-0"), 40)
    line.add(Trade(pair=PAIR, received_us=1, price="1", amount="2", side="buy", trade_id="7"))
    batch = line.outbox.take(NO_BOOK, 9)
    assert kinds(batch) == ["trade"]
    assert batch is not None
    assert (batch.n, batch.fields, batch.levels) == (40, [], None)


def test_a_seam_of_our_own_connections_is_counted(live: Line) -> None:
    live.add(msgspec.structs.replace(snapshot(11), reason=SnapshotReason.SEAM), delta(12))
    assert kinds(live.take()) == ["snapshot", "delta"]
    assert live.outbox.seams == 1


def test_a_closed_line_forgets_what_waits(live: Line) -> None:
    live.add(delta(11))
    live.outbox.close()
    assert (live.outbox.phase, live.outbox.waiting, live.take()) == (Phase.CLOSED, 0, None)


def in_doubt() -> Line:
    """Published up to sequence 11, and one delta more is waiting."""
    line = Line()
    line.granted(None, 100)
    line.add(snapshot(10), delta(11))
    assert line.take()
    line.outbox.accepted(hash_patched=True)
    line.outbox.doubt()
    line.add(delta(12))
    return line


def test_a_grant_of_ours_that_nobody_heard_of_costs_no_reset():
    line = in_doubt()
    line.granted(Cell(TOKEN + 1, 102, "11", "5-0"), 102, TOKEN + 2)
    assert kinds(line.take()) == ["delta"]


def test_an_unheard_grant_over_an_unanswered_batch_goes_on_behind_what_arrived():
    line = Line()
    line.granted(None, 100)
    line.add(snapshot(10), delta(11))
    assert line.take()
    line.outbox.doubt()
    line.granted(Cell(TOKEN + 1, 101, "10", "5-0"), 101, TOKEN + 2)
    assert kinds(line.take()) == ["delta"]


@pytest.mark.parametrize("sequence", ["10", "12", "-"])
def test_another_token_and_another_sequence_start_over(sequence):
    line = in_doubt()
    line.granted(Cell(TOKEN + 1, 102, sequence, "5-0"), 102, TOKEN + 2)
    assert kinds(line.take()) == ["reset", "snapshot"]


def test_what_nobody_said_was_taken_can_be_had_with_where_it_begins():
    line = in_doubt()
    published, deltas = line.outbox.unpublished() or (0, [])
    assert published == 11
    assert [(one.sequence, one.bids) for one in deltas] == [(12, {"1": "12"})]
    line.add(Reset(pair=PAIR, received_us=1, reason=ResetReason.GAP))
    assert line.outbox.unpublished() is None
