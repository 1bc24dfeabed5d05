"""Topics and the requests that get us there."""

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.feed_words import NEVER
from feeds.pacer import Pacer
from feeds.subscriptions import ACK_MS, LEAVE_MS, Phase, Subscriptions
from feeds.venue import Ack, Refusal, Topic, Traits
from tests.support.fake_venue import FakeVenue, pair_of


def topic(symbol: str, use: str = "trades", name: str = "prints") -> Topic:
    return Topic("main", f"{name}:{symbol}", pair_of(symbol), use)


def opened(**limits) -> Subscriptions:
    subscriptions = Subscriptions(FakeVenue(**limits), random.Random(1))
    subscriptions.opened(0.0)
    return subscriptions


def asked(subscriptions: Subscriptions, now_ms: float = 0.0) -> list[dict]:
    return [json.loads(text) for text in subscriptions.requests(now_ms)]


def test_requests_hold_at_most_the_topics_a_venue_takes():
    subscriptions = opened(topics_per_request=4)
    for number in range(10):
        subscriptions.add(topic(f"S{number}"), None)
    assert [len(request["sub"]) for request in asked(subscriptions)] == [4, 4, 2]


def test_requests_hold_at_most_the_bytes_a_venue_takes():
    subscriptions = opened(topics_per_request=100, request_bytes=200)
    for number in range(50):
        subscriptions.add(topic(f"S{number}"), None)
    texts = subscriptions.requests(0.0)
    assert max(len(text.encode()) for text in texts) <= 200
    assert sum(len(json.loads(text)["sub"]) for text in texts) == 50


def test_requests_are_paced():
    subscriptions = opened(topics_per_request=1, requests_per_s=2.0)
    for number in range(5):
        subscriptions.add(topic(f"S{number}"), None)
    times = [ms for ms in range(0, 10_000, 100) if asked(subscriptions, float(ms))]
    assert times == [0, 500, 1_000, 1_500, 2_000]


def test_an_hourly_budget_allows_a_burst_and_never_more_in_any_hour():
    pacer = Pacer(480 / 3600)
    pacer.start(0.0)
    taken = [ms for ms in range(0, 3 * 3_600_000, 1_000) if pacer.take(float(ms))]
    assert sum(ms <= 1_000 * 60 for ms in taken) >= 45
    for start in range(0, 2 * 3_600_000, 60_000):
        assert sum(start <= ms < start + 3_600_000 for ms in taken) <= 480


def test_an_answer_that_does_not_say_for_what_is_understood_by_its_request():
    subscriptions = opened()
    subscriptions.add(topic("AAA"), None)
    (request,) = asked(subscriptions)
    assert [one.topic.name for one in subscriptions.acknowledged(Ack(request["id"], None, None), 0.0)] == ["prints:AAA"]
    subscriptions.remove("prints:AAA", "trades")
    (request,) = asked(subscriptions)
    assert request["unsub"] == ["prints:AAA"]
    subscriptions.acknowledged(Ack(request["id"], None, None), 0.0)
    assert subscriptions.by_name == {}


def test_a_topic_with_two_uses_is_left_when_both_are_gone():
    subscriptions = opened()
    subscriptions.add(topic("AAA", "bbo", "best"), None)
    subscriptions.add(topic("AAA", "book", "best"), None)
    assert asked(subscriptions)[0]["sub"] == ["best:AAA"]
    subscriptions.remove("best:AAA", "book")
    assert asked(subscriptions) == []
    subscriptions.remove("best:AAA", "bbo")
    assert asked(subscriptions)[0]["unsub"] == ["best:AAA"]


def test_answers_about_strangers_are_ignored():
    subscriptions = opened()
    subscriptions.add(topic("AAA"), None)
    asked(subscriptions)
    assert subscriptions.acknowledged(Ack("999", None, True), 0.0) == []
    assert subscriptions.acknowledged(Ack(None, "prints:ZZZ", True), 0.0) == []
    assert subscriptions.refused(Refusal(None, None, "1", "?", True), 0.0) == []
    assert subscriptions.by_name["prints:AAA"].phase is Phase.ASKED


def test_a_refused_unsubscribe_is_as_good_as_one_that_was_accepted():
    subscriptions = opened()
    subscriptions.add(topic("AAA"), None)
    asked(subscriptions)
    subscriptions.remove("prints:AAA", "trades")
    (request,) = asked(subscriptions)
    subscriptions.refused(Refusal(request["id"], None, "1", "not subscribed", True), 0.0)
    assert subscriptions.by_name == {}


def test_what_was_leaving_when_the_connection_closed_is_gone_and_the_rest_is_asked_again():
    subscriptions = opened()
    for symbol in ("AAA", "BBB"):
        subscriptions.add(topic(symbol), None)
    asked(subscriptions)
    subscriptions.remove("prints:AAA", "trades")
    subscriptions.closed()
    assert subscriptions.requests(0.0) == []
    subscriptions.opened(1.0)
    assert asked(subscriptions, 1.0)[0]["sub"] == ["prints:BBB"]


STEPS = st.sampled_from(["add", "remove", "renew", "ack", "no", "fatal", "lose", "wait", "reconnect"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(STEPS, st.sampled_from("ABC")), max_size=60))
def test_whatever_the_venue_answers_what_is_wanted_ends_up_subscribed(steps):
    subscriptions, now = opened(), 0.0
    wanted: set[str] = set()
    at_venue: set[str] = set()
    unanswered: list[dict] = []
    for step, symbol in [*steps, *[("wait", "A"), ("ack", "A")] * 40]:
        name = f"prints:{symbol}"
        now += 50.0
        if step == "add":
            subscriptions.add(topic(symbol), None)
            wanted.add(name)
        elif step == "remove":
            subscriptions.remove(name, "trades")
            wanted.discard(name)
        elif step == "renew":
            subscriptions.renew(name)
        elif step == "wait":
            now += max(ACK_MS, LEAVE_MS) + 1
        elif step == "reconnect":
            subscriptions.closed()
            at_venue.clear()
            unanswered.clear()
            subscriptions.opened(now)
        elif unanswered:
            answered = unanswered.pop(0) if step != "ack" else None
            for request in [answered] if answered else unanswered:
                if step == "ack":
                    subscriptions.acknowledged(Ack(request["id"], None, None), now)
                elif step == "no" and "sub" in request:
                    at_venue -= set(request["sub"])
                    subscriptions.refused(Refusal(request["id"], None, "1", "busy", False), now)
                elif step == "fatal" and len(request.get("sub", [])) == 1:
                    at_venue -= set(request["sub"])
                    for gone in subscriptions.refused(Refusal(request["id"], None, "1", "never", True), now):
                        wanted.discard(gone.topic.name)
            if step == "ack":
                unanswered.clear()
        subscriptions.overdue(now)
        for request in asked(subscriptions, now):
            at_venue |= set(request.get("sub", []))
            at_venue -= set(request.get("unsub", []))
            unanswered.append(request)
    assert set(subscriptions.by_name) == wanted
    assert at_venue == wanted


# ── habits of few venues ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_request_refused_as_a_whole_for_one_topic_is_repeated_without_it():
    subscriptions = opened(topics_per_request=10)
    for symbol in ("AAA", "BAD", "CCC"):
        subscriptions.add(topic(symbol), None)
    (first,) = asked(subscriptions)
    gone = subscriptions.refused(Refusal(first["id"], "prints:BAD", "1", "no such", True, whole_request=True), 1.0)
    assert [each.topic.name for each in gone] == ["prints:BAD"]
    (second,) = asked(subscriptions, 2.0)
    assert second["sub"] == ["prints:AAA", "prints:CCC"]


def test_a_topic_that_is_said_to_be_subscribed_already_is_left_first_and_then_asked_for():
    subscriptions = opened()
    subscriptions.add(topic("AAA"), None)
    (first,) = asked(subscriptions)
    assert subscriptions.refused(Refusal(first["id"], "prints:AAA", "1", "already", False, standing=True), 1.0) == []
    (leaving,) = asked(subscriptions, 2.0)
    assert leaving["unsub"] == ["prints:AAA"]
    subscriptions.acknowledged(Ack(leaving["id"], None, False), 3.0)
    assert asked(subscriptions, 5_000.0) == [{"id": "3", "sub": ["prints:AAA"]}]


def test_an_unsubscribe_refused_as_a_whole_is_repeated_for_the_others():
    subscriptions = opened()
    for symbol in ("AAA", "BBB"):
        subscriptions.add(topic(symbol), None)
    (first,) = asked(subscriptions)
    subscriptions.acknowledged(Ack(first["id"], None, True), 1.0)
    for symbol in ("AAA", "BBB"):
        subscriptions.remove(f"prints:{symbol}", "trades")
    (leaving,) = asked(subscriptions, 2.0)
    subscriptions.refused(Refusal(leaving["id"], "prints:AAA", "1", "not there", False, whole_request=True), 3.0)
    (again,) = asked(subscriptions, 4.0)
    assert again["unsub"] == ["prints:BBB"]


def test_where_a_request_replaces_the_last_one_each_names_all_of_its_kind():
    subscriptions = Subscriptions(FakeVenue(Traits(replaces=True), topics_per_request=1), random.Random(1))
    subscriptions.opened(0.0)
    trades = [Topic("main", f"prints:{symbol}", pair_of(symbol), "trades", kind="deals") for symbol in ("AAA", "BBB")]
    best = Topic("main", "best:AAA", pair_of("AAA"), "bbo", kind="bbo")
    for each in (*trades, best):
        subscriptions.add(each, None)
    assert [request["sub"] for request in asked(subscriptions)] == [
        ["prints:AAA"],
        ["prints:AAA", "prints:BBB"],
        ["best:AAA"],
    ]


def test_topics_of_different_kinds_never_share_a_request():
    subscriptions = opened(topics_per_request=10)
    for number, kind in enumerate(("deals", "bbo", "deals", "bbo")):
        symbol = f"S{number}"
        subscriptions.add(Topic("main", f"prints:{symbol}", pair_of(symbol), "trades", kind=kind), None)
    assert [request["sub"] for request in asked(subscriptions)] == [
        ["prints:S0", "prints:S2"],
        ["prints:S1", "prints:S3"],
    ]


def test_an_answer_that_names_only_a_kind_is_for_the_oldest_unanswered_of_it():
    subscriptions = opened(topics_per_request=1)
    for symbol, kind in (("AAA", "depth"), ("BBB", "deals"), ("CCC", "depth")):
        subscriptions.add(Topic("main", f"prints:{symbol}", pair_of(symbol), "trades", kind=kind), None)
    asked(subscriptions)
    said = [
        subscriptions.acknowledged(Ack(None, None, True, kind), 1.0) for kind in ("depth", "deals", "depth", "depth")
    ]
    assert [[each.topic.name for each in found] for found in said] == [
        ["prints:AAA"], ["prints:BBB"], ["prints:CCC"], []
    ]  # fmt: skip
    subscriptions.remove("prints:CCC", "trades")
    asked(subscriptions, 2.0)
    assert subscriptions.acknowledged(Ack(None, None, False, "depth"), 3.0) == []
    assert list(subscriptions.by_name) == ["prints:AAA", "prints:BBB"]


def test_how_long_to_wait_is_known_while_requests_wait_for_their_turn_only():
    subscriptions = opened(topics_per_request=1, requests_per_s=2.0)
    assert subscriptions.wait_ms(0.0) == NEVER
    for symbol in ("AAA", "BBB"):
        subscriptions.add(topic(symbol), None)
    assert subscriptions.wait_ms(0.0) == 0.0
    assert len(asked(subscriptions)) == 1
    assert subscriptions.wait_ms(100.0) == 400.0
    assert len(asked(subscriptions, 500.0)) == 1
    assert subscriptions.wait_ms(500.0) == NEVER


def test_a_suspect_that_waits_for_an_answer_hurries_nobody():
    subscriptions = Subscriptions(FakeVenue(Traits(unknown_closes=True), topics_per_request=1), random.Random(1))
    for symbol in ("AAA", "BBB"):
        subscriptions.add(topic(symbol), None)
    subscriptions.opened(0.0)
    asked(subscriptions)
    subscriptions.closed()
    subscriptions.opened(1.0)
    assert len(asked(subscriptions, 1.0)) == 1
    assert subscriptions.wait_ms(2.0) == NEVER
