"""One connection's life, without a connection."""

import json
import random

import pytest

from books.events import Bbo, Delta, Mark, Reset, ResetReason, Snapshot, Trade
from feeds.outputs import Failure, FailureKind, Fetch, PairRefused, Ping, Reconnect, Replace, Sample, Send, is_event
from feeds.sampling import SAMPLES_PER_MINUTE
from feeds.session import MARK_MS, Session
from feeds.venue import Instruments, Keepalive
from tests.support.fake_venue import FakeVenue, instrument, pair_of

BOOK = frozenset({"book"})
LEVELS = {"b": {"9": "1"}, "a": {"11": "1"}}


class Driver:
    """Drives a session as the link does, with a clock of its own; `out` is what the last call gave."""

    def __init__(self, venue: FakeVenue | None = None, route: str = "main") -> None:
        self.venue = venue or FakeVenue()
        symbols = [f"{letter}{letter}{letter}" for letter in "ABCDEFGHIJKLMNOP"]
        self.session = Session(self.venue, Instruments([instrument(s) for s in symbols]), route, random.Random(1))
        self.now = 1_000.0
        self.out: list = []

    def add(self, symbol: str, depth: str = "full", channels: frozenset[str] = BOOK) -> list:
        self.out = self.session.add(instrument(symbol), depth, channels, 7, self.now)
        return self.out

    def open(self) -> list:
        self.out = self.session.opened(self.now)
        return self.out

    def receive(self, **message) -> list:
        self.out = self.session.receive(json.dumps(message).encode(), int(self.now), self.now)
        return self.out

    def tick(self, after_ms: float = 0.0, *, hears: bool = True, **options) -> list:
        """Ticks five times a second until `after_ms` have passed; everything that came out."""
        self.out, end = [], self.now + after_ms
        while True:
            heard = self.now if hears else 0.0
            self.out += self.session.tick(self.now, int(self.now), heard_ms=heard, **options)
            if self.now >= end:
                return self.out
            self.now = min(end, self.now + 200.0)

    def ack(self) -> list:
        """Acknowledge every request of the last output."""
        out = []
        for text in self.sent():
            out += self.session.receive(
                json.dumps({"t": "ack", "id": text["id"], "on": "sub" in text}).encode(), 1, self.now
            )
        self.out = out
        return out

    def sent(self) -> list[dict]:
        return [json.loads(output.text) for output in self.out if isinstance(output, Send) and output.text[0] == "{"]

    def of(self, kind: type) -> list:
        return [output for output in self.out if isinstance(output, kind)]

    def events(self) -> list[str]:
        return [type(output).__name__ for output in self.out if is_event(output)]

    def live(self, symbol: str = "AAA", depth: str = "full") -> None:
        """Bring a pair live."""
        self.add(symbol, depth)
        if not self.session.is_open:
            self.open()
        self.ack()
        if depth == "full":
            self.tick(1_200)
            (fetch,) = self.of(Fetch)
            self.out = self.session.snapshot(fetch, body(100), 1, self.now)
        elif depth == "50":
            self.receive(t="snapshot", topic=f"linked:{symbol}", u=100, **LEVELS)
        else:
            self.receive(t="image", topic=f"image:{symbol}", u=100, **LEVELS)
        assert self.session.feeds[pair_of(symbol)].live


def body(sequence: int) -> bytes:
    return json.dumps({"u": sequence, **LEVELS}).encode()


def diff(symbol: str, first: int, last: int, **levels) -> dict:
    return {"t": "delta", "topic": f"diff:{symbol}", "U": first, "u": last, "b": {}, "a": {}, **levels}


@pytest.fixture
def driver() -> Driver:
    return Driver()


# ── subscribing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_sent_before_the_connection_is_open(driver):
    assert driver.add("AAA") == []
    driver.open()
    assert driver.sent() == [{"id": "1", "sub": ["diff:AAA"]}]


def test_a_pair_added_to_an_open_connection_is_subscribed_at_once(driver):
    driver.open()
    driver.add("AAA")
    assert driver.sent() == [{"id": "1", "sub": ["diff:AAA"]}]


def test_only_topics_of_the_own_route_are_subscribed():
    driver = Driver(route="other")
    driver.add("AAA", channels=frozenset({"book", "bbo", "trades"}))
    driver.open()
    assert driver.sent() == [{"id": "1", "sub": ["prints:AAA"]}]
    assert driver.session.feeds == {}


def test_the_acknowledgement_starts_the_fetch_and_the_snapshot_makes_the_pair_live(driver):
    driver.add("AAA")
    driver.open()
    driver.ack()
    driver.tick(1_200)
    (fetch,) = driver.of(Fetch)
    assert fetch.request.path == "/depth?symbol=AAA"
    driver.out = driver.session.snapshot(fetch, body(100), 5, driver.now)
    assert driver.events() == ["Snapshot"]
    assert driver.session.feeds[pair_of("AAA")].book.best_bid() == ("9", "1")


def test_a_delta_passes_through_as_the_object_it_is(driver):
    driver.live()
    driver.receive(**diff("AAA", 101, 101, b={"8": "1"}))
    assert driver.events() == ["Delta"]
    assert dict(driver.out[0].bids) == {"8": "1"}


def test_best_prices_and_trades_pass_only_where_they_are_asked_for(driver):
    driver.add("AAA", channels=frozenset({"book", "bbo"}))
    driver.open()
    assert driver.sent()[0]["sub"] == ["diff:AAA", "best:AAA"]
    driver.receive(t="bbo", topic="best:AAA", b=["9", "1"], a=["11", "1"])
    assert [type(event) for event in driver.out] == [Bbo]
    assert driver.receive(t="trade", topic="prints:AAA", id="1") == []
    driver.add("AAA", channels=frozenset({"book"}))
    assert driver.sent() == [{"id": "2", "unsub": ["best:AAA"]}]
    assert driver.receive(t="bbo", topic="best:AAA", b=["9", "1"], a=["11", "1"]) == []


def test_a_trade_passes_on_its_route():
    driver = Driver(route="other")
    driver.add("AAA", channels=frozenset({"trades"}))
    driver.open()
    driver.receive(t="trade", topic="prints:AAA", id="1")
    assert [type(event) for event in driver.out] == [Trade]


def test_a_book_of_depth_bbo_is_made_of_best_prices(driver):
    driver.add("AAA", "bbo", frozenset({"book", "bbo"}))
    driver.open()
    assert driver.sent() == [{"id": "1", "sub": ["best:AAA"]}], "one topic feeds both"
    driver.receive(t="bbo", topic="best:AAA", b=["9", "1"], a=["11", "1"], u=5)
    assert driver.events() == ["Snapshot", "Bbo"]
    driver.receive(t="bbo", topic="best:AAA", b=["8", "1"], a=["", ""], u=6)
    assert driver.events() == ["Delta", "Bbo"]
    assert (dict(driver.out[0].bids), dict(driver.out[0].asks)) == ({"8": "1", "9": "0"}, {"11": "0"})


def test_another_depth_leaves_the_old_topic_and_resets(driver):
    driver.live("AAA", "full")
    driver.add("AAA", "50")
    assert [event.reason for event in driver.of(Reset)] == [ResetReason.UNSUBSCRIBED]
    assert driver.sent() == [{"id": "2", "unsub": ["diff:AAA"]}, {"id": "3", "sub": ["linked:AAA"]}]
    assert driver.receive(**diff("AAA", 101, 101)) == [], "a late delta of the old topic"
    driver.receive(t="snapshot", topic="linked:AAA", u=500, **LEVELS)
    assert driver.events() == ["Snapshot"]


def test_the_same_pair_again_changes_nothing(driver):
    driver.live()
    feed = driver.session.feeds[pair_of("AAA")]
    assert driver.add("AAA") == []
    assert driver.session.feeds[pair_of("AAA")] is feed


def test_a_removed_pair_is_unsubscribed_with_a_reset_and_forgotten(driver):
    driver.live()
    driver.out = driver.session.remove(pair_of("AAA"), 7, driver.now)
    assert [event.reason for event in driver.of(Reset)] == [ResetReason.UNSUBSCRIBED]
    assert driver.sent() == [{"id": "2", "unsub": ["diff:AAA"]}]
    driver.ack()
    assert (driver.session.topics, list(driver.session.pairs)) == (0, [])


def test_a_pair_that_comes_back_while_it_leaves_is_subscribed_again(driver):
    driver.live()
    driver.out = driver.session.remove(pair_of("AAA"), 7, driver.now)
    leaving = driver.sent()
    assert driver.add("AAA") == []
    driver.receive(t="ack", id=leaving[0]["id"], on=False)
    assert driver.sent() == [{"id": "3", "sub": ["diff:AAA"]}]


# ── trouble of one pair ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_gap_costs_its_pair_alone(driver):
    driver.live("AAA")
    driver.live("BBB")
    driver.receive(**diff("AAA", 105, 106))
    assert driver.events() == ["Reset"]
    assert [fetch.pair for fetch in driver.of(Fetch)] == [pair_of("AAA")]
    driver.receive(**diff("BBB", 101, 101))
    assert driver.events() == ["Delta"]


def test_a_gap_in_band_leaves_waits_for_the_answer_and_subscribes(driver):
    driver.live("AAA", "50")
    driver.receive(t="delta", topic="linked:AAA", p=105, u=106, b={}, a={})
    assert driver.events() == ["Reset"]
    assert driver.sent() == [{"id": "2", "unsub": ["linked:AAA"]}]
    late = driver.receive(t="snapshot", topic="linked:AAA", u=107, **LEVELS)
    assert late == [], "what still comes of the old subscription is not listened to"
    driver.out = [Send('{"id": "2", "unsub": []}')]
    driver.ack()
    assert driver.sent() == [{"id": "3", "sub": ["linked:AAA"]}]
    driver.receive(t="snapshot", topic="linked:AAA", u=110, **LEVELS)
    assert driver.events() == ["Snapshot"]


def test_a_subscription_to_be_renewed_is_not_listened_to_while_the_request_waits_for_the_limit():
    driver = Driver(FakeVenue(requests_per_s=1.0))
    driver.live("AAA", "50")
    driver.receive(t="delta", topic="linked:AAA", p=105, u=106, b={}, a={})
    assert driver.sent() == []
    assert driver.receive(t="snapshot", topic="linked:AAA", u=107, **LEVELS) == []
    driver.tick(1_000)
    assert driver.sent() == [{"id": "2", "unsub": ["linked:AAA"]}]


def test_an_unsubscribe_that_is_never_answered_does_not_wait_for_ever(driver):
    driver.live("AAA", "50")
    driver.receive(t="delta", topic="linked:AAA", p=105, u=106, b={}, a={})
    driver.tick(5_200)
    assert [sent for sent in driver.sent() if "sub" in sent] == [{"id": "3", "sub": ["linked:AAA"]}]


def test_a_failed_fetch_is_repeated(driver):
    driver.add("AAA")
    driver.open()
    driver.ack()
    driver.tick(1_200)
    (fetch,) = driver.of(Fetch)
    assert driver.session.snapshot(fetch, Failure(FailureKind.TIMEOUT, "after 10 s"), 1, driver.now) == []
    assert driver.session.feeds[pair_of("AAA")].reason == "no snapshot: timeout: after 10 s"
    driver.tick(1_200)
    assert len(driver.of(Fetch)) == 1


def test_an_unreadable_snapshot_is_sampled_and_fetched_again(driver):
    driver.add("AAA")
    driver.open()
    driver.ack()
    driver.tick(1_200)
    (fetch,) = driver.of(Fetch)
    driver.out = driver.session.snapshot(fetch, b"<html>", 1, driver.now)
    assert [sample.frame for sample in driver.of(Sample)] == [b"<html>"]
    driver.tick(1_200)
    assert len(driver.of(Fetch)) == 1


def test_an_answer_that_is_no_longer_waited_for_is_dropped(driver):
    driver.add("AAA")
    driver.open()
    driver.ack()
    driver.tick(1_200)
    (fetch,) = driver.of(Fetch)
    driver.session.closed("cut", 1)
    driver.open()
    assert driver.session.snapshot(fetch, body(100), 1, driver.now) == []
    assert not driver.session.feeds[pair_of("AAA")].live


def test_frames_that_cannot_be_read_are_counted_and_some_are_sampled(driver):
    driver.live()
    samples = []
    for _ in range(SAMPLES_PER_MINUTE + 10):
        samples += driver.session.receive(b"\xff{garbage" * 1000, 1, driver.now)
    assert len(samples) == SAMPLES_PER_MINUTE
    assert len(samples[0].frame) <= 2000
    assert driver.session.undecodable == SAMPLES_PER_MINUTE + 10
    driver.receive(**diff("AAA", 101, 101))
    assert driver.events() == ["Delta"]


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_topic_refused_for_good_is_reported_and_never_asked_again(driver):
    driver.add("AAA")
    driver.open()
    driver.receive(t="no", topic="diff:AAA", fatal=True, text="does not exist")
    assert driver.of(PairRefused) == [PairRefused(pair_of("AAA"), "diff:AAA was refused with 7: does not exist")]
    assert driver.session.feeds[pair_of("AAA")].reason.endswith("does not exist")
    assert [output for output in driver.tick(60_000) if not isinstance(output, Ping)] == []


def test_a_refused_request_of_many_topics_is_repeated_one_by_one(driver):
    for symbol in ("AAA", "BBB", "CCC"):
        driver.add(symbol)
    driver.open()
    driver.receive(t="no", id="1", fatal=True)
    assert driver.sent() == [{"id": str(n), "sub": [f"diff:{s * 3}"]} for n, s in ((2, "A"), (3, "B"), (4, "C"))]
    driver.receive(t="no", id="3", fatal=True)
    assert [refused.pair for refused in driver.of(PairRefused)] == [pair_of("BBB")]


def test_a_refusal_that_may_pass_is_repeated_after_a_pause(driver):
    driver.add("AAA")
    driver.open()
    driver.receive(t="no", topic="diff:AAA", fatal=False)
    assert driver.of(PairRefused) == []
    driver.tick(1_200)
    assert driver.sent() == [{"id": "2", "sub": ["diff:AAA"]}]


# ── the connection ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_closed_connection_resets_what_was_live_and_the_next_subscribes_everything(driver):
    driver.live("AAA")
    driver.add("BBB")
    driver.out = driver.session.closed("1006", 9)
    assert [(event.pair, event.reason) for event in driver.of(Reset)] == [(pair_of("AAA"), ResetReason.DISCONNECT)]
    driver.open()
    assert driver.sent() == [{"id": "3", "sub": ["diff:AAA", "diff:BBB"]}]


def test_a_quiet_connection_is_probed_and_a_dead_one_given_up(driver):
    driver.live()
    driver.tick(3_000, hears=False)
    assert [send.text for send in driver.of(Send)] == ["ping"]
    driver.tick(6_000, hears=False)
    assert driver.of(Reconnect) == []
    driver.tick(400, hears=False)
    assert driver.of(Reconnect)[0].reason.startswith("nothing heard for 9.")


def test_where_the_server_pings_we_probe_with_a_control_frame(driver):
    driver.venue.keepalive = Keepalive(text=None, idle_ms=180_000, dead_ms=600_000)
    driver = Driver(driver.venue)
    driver.open()
    driver.tick(5_000, hears=False)
    assert driver.out == [Ping()]


def test_a_pong_keeps_the_connection(driver):
    driver.open()
    for _ in range(10):
        driver.tick(5_000, hears=False)
        driver.receive(t="pong")
    assert driver.of(Reconnect) == []


def test_after_a_stall_of_our_own_nobody_is_called_dead_or_silent(driver):
    driver.live()
    now_live = rhythm(driver)
    driver.now += 60_000
    driver.tick(hears=False)
    assert driver.of(Reset) == driver.of(Reconnect) == []
    assert now_live.live


def test_while_reading_is_held_back_nobody_is_called_dead_or_silent(driver):
    driver.live()
    feed = rhythm(driver)
    driver.tick(60_000, hears=False, reading=False)
    assert driver.of(Reset) == driver.of(Reconnect) == []
    assert feed.live


def rhythm(driver: Driver):
    """A pair that speaks ten times a second for over a minute."""
    feed = driver.session.feeds[pair_of("AAA")]
    for number in range(101, 901):
        driver.now += 100
        driver.receive(**diff("AAA", number, number))
        driver.tick()
    return feed


def test_silence_against_the_rhythm_resets_and_renews_the_subscription(driver):
    driver.live()
    rhythm(driver)
    driver.tick(3_200)
    assert [event.reason for event in driver.of(Reset)] == [ResetReason.SILENCE]
    assert driver.sent() == [{"id": "2", "unsub": ["diff:AAA"]}]
    driver.ack()
    assert driver.sent() == [{"id": "3", "sub": ["diff:AAA"]}]
    driver.ack()
    driver.tick(1_200)
    assert len(driver.of(Fetch)) == 1


def test_a_quiet_pair_on_a_living_connection_is_marked_every_ten_seconds(driver):
    driver.live("AAA", "50")
    driver.tick(60_000)
    assert len(driver.of(Mark)) == 6
    assert driver.of(Reset) == []


def test_images_that_never_change_are_marked_too(driver):
    driver.live("AAA", "20")
    marks = 0
    for sequence in range(101, 700):
        driver.receive(t="image", topic="image:AAA", u=sequence, **LEVELS)
        marks += len([event for event in driver.tick(100) if isinstance(event, Mark)])
    assert marks == 5


def test_a_quiet_pair_on_a_doubtful_connection_is_not_marked(driver):
    driver.live("AAA", "50")
    driver.tick(MARK_MS + 5_000, hears=False)
    assert driver.of(Mark) == []


def test_an_acknowledged_subscription_without_data_is_renewed(driver):
    driver.add("AAA", "50")
    driver.open()
    driver.ack()
    driver.tick(10_200)
    assert driver.sent() == [{"id": "2", "unsub": ["linked:AAA"]}]
    assert driver.session.renewals == 1
    assert "no data" in driver.session.feeds[pair_of("AAA")].reason


def test_an_unanswered_subscription_is_renewed_with_growing_pauses(driver):
    driver.add("AAA", channels=frozenset({"bbo"}))
    driver.open()
    times = []
    for _ in range(2_000):
        driver.tick(100)
        times += [driver.now for sent in driver.sent() if "sub" in sent]
    assert 5 <= len(times) <= 10
    assert driver.session.renewals >= 5


def test_the_announced_end_and_the_lifetime_ask_for_a_successor(driver):
    driver = Driver(FakeVenue(lifetime_ms=100_000))
    driver.open()
    driver.receive(t="bye")
    assert driver.out == [Replace("closing for the night")]
    driver.tick(89_000)
    assert driver.of(Replace) == []
    driver.tick(11_000)
    assert len(driver.of(Replace)) == 1


def test_a_text_ping_of_the_server_is_answered(driver):
    driver.open()
    assert driver.receive(t="ask") == [Send("here")]


def test_outputs_tell_events_from_commands(driver):
    driver.live()
    assert is_event(driver.out[0])
    assert not is_event(Send("x"))
    assert {Snapshot, Delta} & {type(driver.out[0])}
