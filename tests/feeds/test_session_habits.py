"""Habits that few venues have, as a session meets them: welcomes, snapshots by request, checksums, repeated trades."""

import pytest

from books.events import ResetReason
from feeds.feed_words import FeedState
from feeds.outputs import PairRefused, Reconnect, Send
from feeds.session import WELCOME_MS
from feeds.subscriptions import CONVICTED, SNAPSHOT_MS
from feeds.venue import Keepalive, Traits
from tests.feeds.test_session import LEVELS, Driver, diff
from tests.support.fake_venue import FakeVenue, pair_of


@pytest.fixture
def driver() -> Driver:
    return Driver()


# ── welcome ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_venue_that_greets_is_asked_nothing_before_its_welcome():
    driver = Driver(FakeVenue(Traits(greets=True)))
    driver.add("AAA")
    assert driver.open() == []
    assert not [output for output in driver.tick(1_000) if isinstance(output, Send) and "sub" in output.text]
    driver.receive(t="hello")
    assert driver.sent() == [{"id": "1", "sub": ["diff:AAA"]}]
    driver.receive(t="hello")
    assert driver.sent() == []


def test_a_pair_wanted_between_opening_and_welcome_waits_for_the_welcome():
    driver = Driver(FakeVenue(Traits(greets=True)))
    driver.open()
    assert driver.add("AAA") == []
    driver.receive(t="hello")
    assert driver.sent() == [{"id": "1", "sub": ["diff:AAA"]}]


def test_a_venue_that_does_not_say_welcome_is_left_and_greeted_anew_after():
    driver = Driver(FakeVenue(Traits(greets=True)))
    driver.add("AAA")
    driver.open()
    driver.tick(WELCOME_MS)
    assert "no welcome" in driver.of(Reconnect)[0].reason
    driver.session.closed("cut", 1)
    driver.open()
    driver.receive(t="hello")
    assert driver.sent()[0]["sub"] == ["diff:AAA"]


# ── snapshots by request ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_snapshot_is_asked_for_on_the_socket_and_spliced(driver):
    driver.add("AAA", "asked")
    driver.open()
    driver.ack()
    driver.receive(t="delta", topic="asked:AAA", U=99, u=99, b={"8": "1"}, a={})
    (request,) = driver.sent()
    assert request["req"] == "asked:AAA"
    driver.receive(t="delta", topic="asked:AAA", U=100, u=101, b={"7": "2"}, a={})
    driver.receive(t="snapshot", topic="asked:AAA", u=99, **LEVELS)
    assert driver.events() == ["Snapshot", "Delta"]
    feed = driver.session.feeds[pair_of("AAA")]
    assert (feed.live, feed.sequence, dict(feed.book.bids)) == (True, 101, {"9": "1", "7": "2"})


def test_a_gap_is_mended_by_another_request_on_the_living_subscription(driver):
    test_a_snapshot_is_asked_for_on_the_socket_and_spliced(driver)
    driver.receive(t="delta", topic="asked:AAA", U=105, u=105, b={}, a={})
    assert driver.events() == ["Reset"]
    (request,) = driver.sent()
    assert request["req"] == "asked:AAA"
    driver.receive(t="snapshot", topic="asked:AAA", u=106, **LEVELS)
    assert driver.events() == ["Snapshot"]


def test_a_snapshot_that_is_refused_or_does_not_come_is_asked_for_again(driver):
    driver.add("AAA", "asked")
    driver.open()
    driver.ack()
    driver.receive(t="delta", topic="asked:AAA", U=99, u=99, b={}, a={})
    (request,) = driver.sent()
    driver.receive(t="no", id=request["id"], fatal=False, text="later")
    feed = driver.session.feeds[pair_of("AAA")]
    assert "7: later" in feed.reason
    driver.tick(1_500)
    (request,) = driver.sent()
    driver.tick(SNAPSHOT_MS + 3_000, hears=True)
    assert "no answer" in feed.reason
    assert any("req" in text for text in driver.sent())


def test_snapshots_asked_for_are_paced_with_the_subscriptions_and_go_first():
    driver = Driver(FakeVenue(requests_per_s=1.0, topics_per_request=1))
    for symbol in ("AAA", "BBB", "CCC"):
        driver.add(symbol, "asked")
    driver.open()
    driver.receive(t="delta", topic="asked:AAA", U=99, u=99, b={}, a={})
    assert driver.sent() == []
    driver.tick(1_000)
    assert [list(text)[1] for text in driver.sent()] == ["req"]
    driver.tick(1_000)
    assert [list(text)[1] for text in driver.sent()] == ["sub"]


def test_a_snapshot_is_not_asked_for_on_a_topic_that_was_left(driver):
    driver.add("AAA", "asked")
    driver.open()
    driver.ack()
    driver.out = driver.session.remove(pair_of("AAA"), 1, driver.now)
    driver.tick(3_000)
    assert not any("req" in text for text in driver.sent())


# ── checksums ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_that_its_checksum_disproves_resets_the_pair_and_is_not_applied(driver):
    driver.add("AAA", "summed")
    driver.open()
    driver.ack()
    driver.receive(t="snapshot", topic="summed:AAA", proof="true", **LEVELS)
    driver.receive(t="delta", topic="summed:AAA", proof="true", b={"8": "1"}, a={})
    assert driver.events() == ["Delta"]
    driver.receive(t="delta", topic="summed:AAA", proof="false", b={"8": "5"}, a={})
    (reset,) = driver.out[:1]
    assert reset.reason is ResetReason.CHECKSUM
    feed = driver.session.feeds[pair_of("AAA")]
    assert (feed.checksums, feed.live, feed.state) == (1, False, FeedState.SYNCING)
    assert "expected true, got false" in feed.reason
    assert driver.sent()[0]["unsub"] == ["summed:AAA"]


def test_a_repeated_image_of_a_proved_book_says_only_what_differs(driver):
    driver.add("AAA", "summed")
    driver.open()
    driver.ack()
    driver.receive(t="snapshot", topic="summed:AAA", proof="true", **LEVELS)
    assert driver.receive(t="snapshot", topic="summed:AAA", proof="true", **LEVELS) == []
    driver.receive(t="snapshot", topic="summed:AAA", proof="true", b={"9": "2"}, a={"11": "1"})
    assert driver.events() == ["Delta"]
    assert dict(driver.out[0].bids) == {"9": "2"}


# ── trades ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("repeats", "told"), [(True, ["t1", "t2", "t3"]), (False, ["t1", "t2", "t1", "t2", "t3"])])
def test_trades_that_a_venue_repeats_at_a_subscription_are_told_once(repeats, told):
    driver = Driver(FakeVenue(Traits(repeats_trades=repeats)), route="other")
    driver.add("AAA", channels=frozenset({"trades"}))
    heard = []
    for ids in (("t1", "t2"), ("t1", "t2", "t3")):
        driver.open()
        for each in ids:
            heard += [trade.trade_id for trade in driver.receive(t="trade", topic="prints:AAA", id=each)]
        driver.session.closed("cut", 1)
    assert heard == told


def test_a_successor_knows_the_trades_that_were_told_before_it():
    drivers = [Driver(FakeVenue(Traits(repeats_trades=True)), route="other") for _ in range(2)]
    told = []
    for driver in drivers:
        driver.add("AAA", channels=frozenset({"trades"}))
        driver.session.inherit(drivers[0].session)
        driver.open()
        for each in ("t1", "t2"):
            told += [trade.trade_id for trade in driver.receive(t="trade", topic="prints:AAA", id=each)]
    assert told == ["t1", "t2"]


def test_a_session_is_settled_when_everything_wanted_is_acknowledged(driver):
    driver.add("AAA")
    assert not driver.session.settled
    driver.open()
    assert not driver.session.settled
    driver.ack()
    assert driver.session.settled


def test_best_prices_that_a_venue_repeats_are_told_once(driver):
    driver.add("AAA", "full", frozenset({"bbo"}))
    driver.open()
    told = []
    for bid in ("9", "9", "8", "8", "9"):
        told += [bbo.bid for bbo in driver.receive(t="bbo", topic="best:AAA", b=[bid, "1"], a=["11", "1"])]
    assert told == ["9", "8", "9"]


# ── texts that the venue counts ──────────────────────────────────────────────────────────────────────────────────────


def test_a_venue_that_counts_our_texts_gets_them_while_data_flows():
    driver = Driver()
    driver.venue.keepalive = Keepalive(text="still here", idle_ms=5_000, dead_ms=20_000, every_ms=15_000)
    driver = Driver(driver.venue)
    driver.open()
    texts = [output.text for output in driver.tick(60_000, hears=True) if isinstance(output, Send)]
    assert texts == ["still here"] * 4


def test_a_venue_that_is_not_to_be_probed_is_not():
    venue = FakeVenue()
    venue.keepalive = Keepalive(text=None, idle_ms=5_000, dead_ms=15_000, probe=False)
    driver = Driver(venue)
    driver.open()
    assert driver.tick(14_000, hears=False) == []
    assert driver.tick(2_000, hears=False)[0].reason.startswith("nothing heard")


# ── sockets that unknown symbols close ───────────────────────────────────────────────────────────────────────────────


def test_the_symbol_that_closes_sockets_is_found_and_costs_itself_alone():
    """The venue closes the socket when asked for CCC, and acknowledges nothing that came in the same instant."""
    driver = Driver(FakeVenue(Traits(unknown_closes=True), topics_per_request=1))
    for symbol in ("AAA", "BBB", "CCC", "DDD"):
        driver.add(symbol)
    opened, refused = 0, []
    while not refused:
        opened += 1
        assert opened < 20
        driver.open()
        while not any("diff:CCC" in text["sub"] for text in driver.sent()):
            if not driver.sent():
                driver.tick(200)
            else:
                driver.ack()
        driver.out = driver.session.closed("1006", 1)
        refused = driver.of(PairRefused)
    assert [(each.pair, "closed the socket" in each.reason) for each in refused] == [(pair_of("CCC"), True)]
    assert opened == CONVICTED + 1  # the first time three others were unanswered with it
    driver.open()
    asked = []
    while driver.sent():
        asked += [name for text in driver.sent() for name in text["sub"]]
        driver.ack()
    assert sorted(asked) == ["diff:AAA", "diff:BBB", "diff:DDD"]


def test_a_healthy_symbol_that_was_unanswered_when_a_socket_closed_is_not_convicted():
    driver = Driver(FakeVenue(Traits(unknown_closes=True), topics_per_request=1))
    driver.add("AAA")
    for _ in range(CONVICTED * 2):
        driver.open()
        driver.ack()
        driver.receive(**diff("AAA", 1, 1))
        driver.out = driver.session.closed("1006", 1)
        assert driver.of(PairRefused) == []
