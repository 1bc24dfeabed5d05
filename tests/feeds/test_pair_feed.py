"""One pair's book: what is put out, in every order in which a venue's messages can come."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from books.book import Book
from books.events import Delta, Mark, Reset, ResetReason, Snapshot, SnapshotReason
from books.sequence import CONTIGUOUS, IMAGES, LINKED, RANGE_THEN_LINKED, SequenceRule
from feeds import pair_feed
from feeds.feed_words import NEVER, FeedState, Want
from feeds.pair_feed import PairFeed
from feeds.venue import BookChannel, Bootstrap
from fleet.pair import Pair

PAIR = Pair("nowhere", "spot", "AAA/USD")


def make(rule: SequenceRule = CONTIGUOUS, bootstrap: Bootstrap = Bootstrap.REST) -> PairFeed:
    return PairFeed(PAIR, BookChannel("full", rule, bootstrap), random.Random(1))


def delta(first: int, last: int, bids: dict | None = None, asks: dict | None = None) -> Delta:
    return Delta(
        pair=PAIR,
        received_us=last,
        bids=bids or {},
        asks=asks or {},
        sequence=last,
        first_sequence=first,
        previous_sequence=first - 1,
    )


def snapshot(sequence: int | None, bids: dict | None = None, asks: dict | None = None) -> Snapshot:
    return Snapshot(
        pair=PAIR,
        received_us=7,
        bids={"9": "1"} if bids is None else bids,
        asks={"11": "1"} if asks is None else asks,
        sequence=sequence,
        reason=SnapshotReason.FIRST,
    )


def live_feed(rule: SequenceRule = CONTIGUOUS, bootstrap: Bootstrap = Bootstrap.REST) -> PairFeed:
    feed = make(rule, bootstrap)
    feed.subscribed(0.0)
    feed.take(pair_feed.FIRST_DELTA_MS)
    out: list = []
    if bootstrap is Bootstrap.REST:
        feed.fetched(snapshot(100), 1.0, out)
    elif bootstrap is Bootstrap.IN_BAND:
        feed.snapshot(snapshot(100), 1.0, out)
    else:
        feed.image(snapshot(100), 1.0, out)
    assert feed.live
    return feed


def kinds(events: list) -> list[str]:
    return [type(event).__name__ for event in events]


# ── bootstrap by REST ────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_put_out_before_the_snapshot():
    feed, out = make(), []
    feed.delta(delta(101, 102, {"8": "1"}), 1.0, out)
    assert out == []
    assert len(feed.kept) == 1
    assert feed.state is FeedState.SYNCING


def test_the_first_delta_proves_the_subscription_and_asks_for_a_snapshot_once():
    feed = make()
    feed.delta(delta(101, 102), 1.0, [])
    assert feed.take(1.0) is Want.FETCH
    feed.delta(delta(103, 104), 2.0, [])
    feed.subscribed(3.0)
    assert feed.take(1e9) is None


def test_kept_deltas_follow_the_snapshot_and_those_it_contains_do_not():
    feed, out = make(), []
    feed.delta(delta(95, 98, {"1": "1"}), 1.0, out)
    feed.delta(delta(99, 102, {"8": "2"}), 2.0, out)
    feed.delta(delta(103, 103, {"9": "0"}), 3.0, out)
    feed.take(3.0)
    feed.fetched(snapshot(100), 4.0, out)
    assert kinds(out) == ["Snapshot", "Delta", "Delta"]
    assert [event.sequence for event in out] == [100, 102, 103]
    assert out[0].reason is SnapshotReason.FIRST
    assert dict(feed.book.bids) == {"8": "2"}
    assert (feed.live, feed.sequence, feed.reason, len(feed.kept)) == (True, 103, "", 0)


def test_a_quiet_pair_goes_live_with_its_snapshot_alone():
    feed, out = make(), []
    feed.subscribed(0.0)
    assert feed.take(900.0) is None, "the first delta may come at any moment"
    assert feed.take(pair_feed.FIRST_DELTA_MS) is Want.FETCH
    feed.fetched(snapshot(100), 1.0, out)
    assert kinds(out) == ["Snapshot"]
    assert feed.live


def test_a_snapshot_older_than_what_is_kept_is_fetched_again_and_the_deltas_stay():
    feed, out = make(), []
    feed.delta(delta(111, 112, {"8": "2"}), 1.0, out)
    feed.take(1.0)
    feed.fetched(snapshot(100), 2.0, out)
    assert out == []
    assert len(feed.kept) == 1
    assert "older than the kept deltas (from 111)" in feed.reason
    assert feed.take(2.0) is None, "not at once: the venue's snapshot is cached"
    assert feed.take(2.0 + pair_feed.RETRY_FIRST_MS) is Want.FETCH
    feed.fetched(snapshot(110), 2000.0, out)
    assert [event.sequence for event in out] == [110, 112]


def test_a_hole_among_the_kept_deltas_voids_what_came_before_it():
    feed, out = make(), []
    feed.delta(delta(101, 102, {"8": "1"}), 1.0, out)
    feed.delta(delta(105, 106, {"7": "1"}), 2.0, out)
    feed.take(2.0)
    feed.fetched(snapshot(101), 3.0, out)
    assert out == []
    assert not feed.live
    assert feed.gaps == 1


def test_kept_deltas_are_bounded(monkeypatch):
    monkeypatch.setattr(pair_feed, "KEPT_MOST", 10)
    feed = make()
    for number in range(50):
        feed.delta(delta(number, number), 1.0, [])
    assert len(feed.kept) == 10


def test_a_failed_fetch_is_repeated_with_growing_pauses():
    feed = make()
    feed.subscribed(0.0)
    now, pauses = pair_feed.FIRST_DELTA_MS, []
    for _ in range(9):
        assert feed.take(now) is Want.FETCH
        feed.fetch_failed("timeout: 10 s", now)
        assert feed.reason == "no snapshot: timeout: 10 s"
        pauses.append(feed.due_ms - now)
        now = feed.due_ms
    assert all(500 * 2**n <= pause <= 1000 * 2**n for n, pause in enumerate(pauses[:4]))
    assert all(6_000 <= pause <= 12_000 for pause in pauses[4:])


def test_a_fetch_is_not_repeated_before_the_venue_allows_it():
    feed = make()
    feed.subscribed(0.0)
    feed.take(pair_feed.FIRST_DELTA_MS)
    feed.fetch_failed("limited", 0.0, 45_000.0)
    assert feed.due_ms == 45_000.0


# ── gaps, crossed books ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_gap_resets_once_and_asks_for_a_snapshot_at_once():
    feed, out = live_feed(), []
    feed.delta(delta(105, 106, {"8": "1"}), 10.0, out)
    feed.delta(delta(107, 108, {"7": "1"}), 11.0, out)
    assert kinds(out) == ["Reset"]
    assert (out[0].reason, out[0].received_us) == (ResetReason.GAP, 106)
    assert feed.book.best_bid() is None, "a book that is not to be trusted is not to be read"
    assert feed.take(11.0) is Want.FETCH
    feed.fetched(snapshot(106), 12.0, out)
    assert kinds(out) == ["Reset", "Snapshot", "Delta"]
    assert out[1].reason is SnapshotReason.RESYNC
    assert (feed.gaps, feed.resyncs) == (1, 1)


def test_the_delta_that_showed_the_gap_is_kept_for_the_splice():
    feed, out = live_feed(), []
    feed.delta(delta(105, 106, {"8": "1"}), 10.0, out)
    feed.take(10.0)
    feed.fetched(snapshot(104), 12.0, out)
    assert [getattr(event, "sequence", None) for event in out] == [None, 104, 106]


def test_a_gap_in_band_asks_for_the_subscription_again():
    feed, out = live_feed(LINKED, Bootstrap.IN_BAND), []
    feed.delta(delta(105, 106), 10.0, out)
    assert kinds(out) == ["Reset"]
    assert feed.take(10.0) is Want.RESUBSCRIBE
    assert feed.due_ms == NEVER


def test_repeated_resyncs_wait_and_a_settled_pair_starts_anew():
    feed, now = live_feed(LINKED, Bootstrap.IN_BAND), 10.0
    pauses = []
    for _ in range(4):
        feed.delta(delta(105, 106), now, [])
        pauses.append(feed.due_ms - now)
        now = feed.due_ms
        feed.take(now)
        feed.snapshot(snapshot(100), now, [])
    assert pauses[0] == 0
    assert 500 <= pauses[1] <= 1000 <= pauses[2] <= 2000 <= pauses[3] <= 4000
    now += pair_feed.SETTLED_MS
    feed.delta(delta(105, 106), now, [])
    assert feed.due_ms == now


def test_a_delta_that_crosses_the_book_is_not_put_out_but_reset():
    feed, out = live_feed(), []
    feed.delta(delta(101, 101, {"11.5": "1"}), 10.0, out)
    assert kinds(out) == ["Reset"]
    assert out[0].reason is ResetReason.CROSSED
    assert (feed.live, feed.crossed, feed.take(10.0)) == (False, 1, Want.FETCH)
    assert "('11.5', '1')" in feed.reason


def test_a_crossed_snapshot_puts_nothing_out_and_is_fetched_again():
    feed, out = make(), []
    feed.subscribed(0.0)
    feed.take(pair_feed.FIRST_DELTA_MS)
    feed.fetched(snapshot(100, {"12": "1"}, {"11": "1"}), 1.0, out)
    assert out == []
    assert (feed.live, feed.crossed) == (False, 1)
    assert feed.due_ms < NEVER


def test_a_snapshot_in_band_that_goes_back_is_a_gap_and_one_that_goes_on_replaces():
    feed, out = live_feed(LINKED, Bootstrap.IN_BAND), []
    feed.snapshot(snapshot(150, {"8": "1"}), 10.0, out)
    assert kinds(out) == ["Snapshot"]
    assert out[0].reason is SnapshotReason.RESYNC
    feed.snapshot(snapshot(120), 11.0, out)
    assert kinds(out) == ["Snapshot", "Reset", "Snapshot"]
    assert (feed.live, feed.sequence, feed.gaps, feed.resyncs) == (True, 120, 1, 1)
    assert feed.take(11.0) is None


def test_a_checksum_failure_seen_outside_resets_and_resyncs():
    feed, out = live_feed(LINKED, Bootstrap.IN_BAND), []
    feed.resync(ResetReason.CHECKSUM, "expected 1, got 2", 5, 10.0, out)
    assert [event.reason for event in out] == [ResetReason.CHECKSUM]
    assert feed.take(10.0) is Want.RESUBSCRIBE


# ── images ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_image_is_a_snapshot_and_the_next_its_difference():
    feed, out = make(IMAGES, Bootstrap.IMAGES), []
    feed.image(snapshot(100, {"9": "1", "8": "2"}), 1.0, out)
    feed.image(snapshot(105, {"9": "3", "7": "1"}), 2.0, out)
    assert kinds(out) == ["Snapshot", "Delta"]
    assert (dict(out[1].bids), dict(out[1].asks), out[1].sequence) == ({"9": "3", "7": "1", "8": "0"}, {}, 105)
    assert dict(feed.book.bids) == {"9": "3", "7": "1"}


def test_an_unchanged_image_is_a_sign_of_life_only():
    feed, out = make(IMAGES, Bootstrap.IMAGES), []
    feed.image(snapshot(100), 1.0, out)
    feed.image(snapshot(101), 5.0, out)
    assert kinds(out) == ["Snapshot"]
    assert feed.last_message_ms == 5.0


def test_an_old_image_is_ignored():
    feed, out = make(IMAGES, Bootstrap.IMAGES), []
    feed.image(snapshot(100), 1.0, out)
    feed.image(snapshot(99, {"5": "5"}), 2.0, out)
    assert kinds(out) == ["Snapshot"]
    assert dict(feed.book.bids) == {"9": "1"}


def test_images_without_sequence_are_taken_as_they_come():
    feed, out = make(IMAGES, Bootstrap.IMAGES), []
    feed.image(snapshot(None), 1.0, out)
    feed.image(snapshot(None, {"9": "4"}), 2.0, out)
    assert kinds(out) == ["Snapshot", "Delta"]
    assert out[1].sequence is None


def test_a_crossed_image_resets_once_and_the_next_whole_one_is_a_snapshot():
    feed, out = live_feed(IMAGES, Bootstrap.IMAGES), []
    feed.image(snapshot(101, {"12": "1"}), 1.0, out)
    feed.image(snapshot(102, {"12": "1"}), 2.0, out)
    feed.image(snapshot(103, {"9": "2"}), 3.0, out)
    assert kinds(out) == ["Reset", "Snapshot"]
    assert feed.crossed == 2


# ── connection, silence, checks ──────────────────────────────────────────────────────────────────────────────────────


def test_a_lost_connection_resets_a_live_pair_and_says_nothing_of_another():
    feed, out = live_feed(), []
    feed.lost(ResetReason.DISCONNECT, 5, out)
    feed.lost(ResetReason.DISCONNECT, 6, out)
    assert [event.reason for event in out] == [ResetReason.DISCONNECT]
    assert feed.state is FeedState.WAITING
    assert feed.due_ms == NEVER


def test_deltas_kept_on_a_lost_connection_are_void():
    feed = make()
    feed.delta(delta(101, 102), 1.0, [])
    feed.lost(ResetReason.DISCONNECT, 5, [])
    assert len(feed.kept) == 0
    feed.delta(delta(201, 202), 2.0, [])
    assert feed.take(2.0) is Want.FETCH


def rhythmic_feed() -> tuple[PairFeed, float]:
    feed = live_feed()
    now = 1.0
    for number in range(101, 901):
        now += 100.0
        feed.delta(delta(number, number), now, [])
    return feed, now


def test_a_pair_with_a_rhythm_is_silent_after_three_seconds():
    feed, now = rhythmic_feed()
    assert feed.silent_for_ms(now + 2_900) is None
    assert feed.silent_for_ms(now + 3_100) == pytest.approx(3_100)


def test_silence_renews_the_subscription_and_doubles_the_bound():
    feed, now = rhythmic_feed()
    out: list = []
    pause = feed.rhythm.usual_pause_ms
    feed.resync(ResetReason.SILENCE, "quiet", 5, now, out)
    assert [event.reason for event in out] == [ResetReason.SILENCE]
    assert feed.take(now) is Want.RESUBSCRIBE
    feed.subscribed(now)
    assert feed.take(now + pair_feed.FIRST_DELTA_MS) is Want.FETCH
    assert feed.rhythm.usual_pause_ms == 2 * pause
    assert feed.silences == 1


def test_a_quiet_pair_is_never_silent():
    feed = live_feed()
    for number in range(101, 120):
        feed.delta(delta(number, number), number * 20_000.0, [])
    assert feed.silent_for_ms(119 * 20_000.0 + 3_600_000) is None


def test_a_quiet_pair_is_checked_ever_more_rarely_and_stays_live_if_the_venue_agrees():
    feed, out = live_feed(), []
    asked = []
    for second in range(1, 200):
        feed.measure(second * 1000.0)
        if feed.take(second * 1000.0) is Want.FETCH:
            asked.append(second)
            feed.fetched(snapshot(100), second * 1000.0, out)
        assert feed.silent_for_ms(second * 1000.0) is None
    assert asked == [11, 21, 41, 81, 161]
    assert out == []


def test_a_pair_of_which_the_venue_promises_to_speak_is_silent_when_it_does_not_whatever_its_rhythm():
    channel = BookChannel("20", IMAGES, Bootstrap.IMAGES, speaks_every_ms=60_000)
    feed, out = PairFeed(PAIR, channel, random.Random(1)), []
    feed.image(snapshot(100), 1_000.0, out)
    assert feed.silent_for_ms(80_000.0) is None
    assert feed.silent_for_ms(82_000.0) == pytest.approx(81_000.0)
    feed.image(snapshot(101), 82_000.0, out)
    assert feed.silent_for_ms(82_001.0) is None


def test_a_subscription_that_never_delivers_is_found_out_by_the_check():
    feed, out = live_feed(), []
    feed.measure(11_000.0)
    assert feed.take(11_000.0) is Want.FETCH
    feed.fetched(snapshot(140), 11_000.0, out)
    assert feed.silent_for_ms(15_000.0) is None, "the delta may be on its way"
    assert feed.silent_for_ms(16_000.0) is not None


def test_a_delta_after_the_check_clears_the_suspicion():
    feed, out = live_feed(), []
    feed.measure(11_000.0)
    feed.take(11_000.0)
    feed.fetched(snapshot(101), 11_000.0, out)
    feed.delta(delta(101, 101), 11_050.0, out)
    assert feed.silent_for_ms(17_000.0) is None


# ── any order ────────────────────────────────────────────────────────────────────────────────────────────────────────

CASES = [
    (CONTIGUOUS, Bootstrap.REST),
    (RANGE_THEN_LINKED, Bootstrap.REST),
    (LINKED, Bootstrap.IN_BAND),
    (IMAGES, Bootstrap.IMAGES),
]


class Truth:
    """The venue's book at every sequence."""

    def __init__(self, rng: random.Random, steps: int) -> None:
        self.books: dict[int, tuple[dict, dict]] = {100: ({"9": "1"}, {"11": "1"})}
        self.deltas: list[Delta] = []
        last = 100
        for _ in range(steps):
            bids, asks = (dict(side) for side in self.books[last])
            change_bids = {str(rng.randint(1, 9)): str(rng.randint(0, 3))}
            change_asks = {str(rng.randint(11, 19)): str(rng.randint(0, 3))}
            for side, change in ((bids, change_bids), (asks, change_asks)):
                for price, amount in change.items():
                    side.pop(price, None) if amount == "0" else side.update({price: amount})
            first, last = last + 1, last + rng.randint(1, 3)
            self.books[last] = (bids, asks)
            self.deltas.append(delta(first, last, change_bids, change_asks))

    def snapshot(self, sequence: int) -> Snapshot:
        return snapshot(sequence, *self.books[sequence])


class Reader:
    """Somebody who sees only what is put out."""

    def __init__(self) -> None:
        self.book = Book()
        self.live = False

    def append(self, event) -> None:
        if isinstance(event, Reset):
            assert self.live, "a Reset of a pair that was not live"
            self.live = False
        elif isinstance(event, Snapshot):
            self.live = True
        else:
            assert self.live, f"{event} before a Snapshot"
            assert not isinstance(event, Mark)
        self.book.apply(event)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(CASES),
    st.integers(0, 2**32),
    st.lists(st.sampled_from(["pass"] * 6 + ["drop", "twice", "swap", "late", "lost"]), min_size=1, max_size=40),
    st.integers(0, 6),
)
def test_whatever_is_lost_doubled_or_swapped_a_live_book_is_the_venues(case, seed, fates, staleness):
    rule, bootstrap = case
    truth = Truth(random.Random(seed), len(fates) + 8)
    feed, reader = make(rule, bootstrap), Reader()
    arriving, held = [], []
    for step, fate in zip(truth.deltas, fates + ["pass"] * 8, strict=True):
        if fate == "drop":
            continue
        if fate == "lost":
            arriving.append(None)
            continue
        if fate in ("swap", "late"):
            held.append(step)
            continue
        arriving += [step, step] if fate == "twice" else [step]
        arriving += held
        held = []
    now, subscribed, sequences = 0.0, False, sorted(truth.books)
    position = 100
    for item in arriving:
        now += 100.0
        if item is None:
            feed.lost(ResetReason.DISCONNECT, 1, reader)
            subscribed = False
        elif bootstrap is Bootstrap.IMAGES:
            feed.image(truth.snapshot(item.sequence), now, reader)
        else:
            position = max(position, item.sequence)
            feed.delta(item, now, reader)
        if not subscribed:
            subscribed = True
            feed.subscribed(now)
            if bootstrap is Bootstrap.IN_BAND:
                feed.snapshot(truth.snapshot(position), now, reader)
        now = max(now, min(feed.due_ms, now + 1e6))
        want = feed.take(now)
        if want is Want.FETCH:
            index = max(0, sequences.index(position) - staleness)
            feed.fetched(truth.snapshot(sequences[index]), now, reader)
        elif want is Want.RESUBSCRIBE:
            feed.snapshot(truth.snapshot(position), now, reader)
        assert feed.live == reader.live
        assert (dict(feed.book.bids), dict(feed.book.asks)) == (dict(reader.book.bids), dict(reader.book.asks))
        if feed.live:
            assert (dict(feed.book.bids), dict(feed.book.asks)) == truth.books[feed.sequence]
    if staleness == 0 and None not in arriving:
        assert feed.live, "the last eight came as they should"


@pytest.mark.parametrize("rule, bootstrap", [(CONTIGUOUS, Bootstrap.REST), (IMAGES, Bootstrap.IMAGES)])
def test_a_venue_that_counts_anew_does_not_leave_an_old_book_live(rule, bootstrap):
    feed, out = live_feed(rule, bootstrap), []
    for number in range(1, pair_feed.OLD_MOST + 2):
        if bootstrap is Bootstrap.REST:
            feed.delta(delta(number - 60, number - 60), 10.0, out)
        else:
            feed.image(snapshot(number - 60), 10.0, out)
    assert isinstance(out[0], Reset)
    assert out[0].reason is ResetReason.GAP
    assert feed.live == (bootstrap is Bootstrap.IMAGES)
