"""What fails costs itself alone: a frame, a pair, a connection, a venue; never another, and never the worker."""

import asyncio
import json
import random
import socket
from contextlib import asynccontextmanager

import pytest

from books.events import Delta, Reset, ResetReason, Snapshot
from feeds import connection, instruments, link, market, quarantine
from feeds.outputs import PairFault, Sample
from feeds.pair_feed import PairFeed
from feeds.quarantine import HELD, TRANSITIONS, Event, Losses, State, Ward, fault_text
from feeds.session import Session
from feeds.venue import Instruments
from feeds.venues import find
from fleet.config import Endpoint
from fleet.errors import FleetError
from fleet.pair import Pair
from tests.support.fake_venue import FakeVenue, instrument, pair_of
from tests.support.pool_run import BOOK, FreeBudget, all_pairs, running

AAA, BBB = pair_of("AAA"), pair_of("BBB")
SPOT, FUTURES = ("binance", "spot"), ("okx", "futures")
SICK, WELL = Pair(*SPOT, "BTC/USDT"), Pair(*FUTURES, "BTC/USDT")
ALL = frozenset({"book", "bbo", "trades"})


def ward() -> Ward:
    return Ward(random.Random(1))


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def next_try_ms(cases: Ward, now_ms: float, pair: Pair = AAA) -> float:
    """When the pair is on trial, to the second, found by asking."""
    while cases.holds(pair):
        now_ms += 100.0
        cases.due(now_ms)
    return now_ms


def test_a_pair_has_three_tries_with_growing_pauses_and_is_then_held_for_long():
    cases, now_ms, pauses = ward(), 0.0, []
    for _ in range(9):
        assert cases.fault(AAA, "boom", now_ms)
        pauses.append((cases.state(AAA), -now_ms + next_try_ms(cases, now_ms)))
        now_ms += pauses[-1][1]
    assert [state for state, _ in pauses] == [State.SUSPECT] * 3 + [State.QUARANTINED] * 6
    tries, long = [pause for _, pause in pauses[:3]], [pause for _, pause in pauses[3:]]
    assert all(500 * 2**n <= pause <= 1100 * 2**n for n, pause in enumerate(tries))
    assert all(7_500 * 2**n <= pause <= 15_100 * 2**n for n, pause in enumerate(long[:5]))
    assert all(150_000 <= pause <= 300_100 for pause in long[5:])


def test_a_pair_that_stands_its_trial_is_healthy_and_its_faults_are_forgotten():
    cases = ward()
    cases.fault(AAA, "boom", 0.0)
    tried_ms = next_try_ms(cases, 0.0)
    assert cases.state(AAA) is State.TRIAL
    cases.due(tried_ms + quarantine.SETTLED_MS)
    assert cases.state(AAA) is State.HEALTHY
    cases.fault(AAA, "boom", 0.0)
    assert next_try_ms(cases, 0.0) <= quarantine.RETRY_FIRST_MS + 100


def test_a_pair_that_was_tried_already_is_quarantined_at_once():
    cases = ward()
    assert cases.fault(AAA, "crossed again and again", 0.0, tried=True)
    assert cases.state(AAA) is State.QUARANTINED
    assert next_try_ms(cases, 0.0) >= quarantine.QUARANTINE_FIRST_MS / 2


def test_who_is_held_cannot_fail_again_and_concerns_nobody_else():
    cases = ward()
    assert cases.fault(AAA, "boom", 0.0)
    assert not cases.fault(AAA, "boom on another connection", 1.0)
    assert cases.faults == 1
    assert not cases.holds(BBB)
    cases.forget(AAA)
    assert not cases.holds(AAA)


def test_the_words_tell_the_fault_and_when_it_is_tried_again():
    cases = ward()
    assert cases.words(AAA, 0.0) is None
    cases.fault(AAA, "boom", 0.0)
    assert cases.words(AAA, 0.0) in {"suspect, try 1 of 3 in 1 s: boom", "suspect, try 1 of 3 in 0 s: boom"}
    cases = ward()
    cases.fault(AAA, "x" * 1000, 0.0, tried=True)
    words = cases.words(AAA, 0.0)
    assert words.startswith("quarantined, tried again in ")
    assert len(words) < 400


@pytest.mark.parametrize("state", State)
def test_the_table_leaves_every_held_state_only_by_its_pause(state):
    assert set(TRANSITIONS[state].values()) <= set(State)
    if state in HELD:
        assert TRANSITIONS[state] == {Event.DUE: State.TRIAL}


def test_a_book_that_is_lost_again_and_again_is_poison_and_one_that_lasted_is_not():
    losses = Losses()
    for n in range(20):  # ten a second: one bad second of a venue, not a loop
        losses.lost("crossed", n * 100.0)
    assert not losses.poison
    losses.settled()
    for n in range(3):
        losses.lost("gap", 100_000.0 + n * 4000)
    assert not losses.poison
    losses.lost("gap: the last", 100_000.0 + 12_000)
    assert losses.poison == "lost 4 times in 12 s, last for gap: the last"


def test_a_fault_is_told_with_its_place_in_the_code():
    try:
        {}["gone"]
    except KeyError as error:
        text = fault_text(error)
    assert text.startswith("a fault of our own: KeyError: 'gone' (test_quarantine.py:")


# ── a session ────────────────────────────────────────────────────────────────────────────────────────────────────────


def session_of(*symbols: str) -> Session:
    listed = [instrument(symbol) for symbol in symbols]
    session = Session(FakeVenue(), Instruments(listed), "main", random.Random(1))
    session.opened(0.0)
    for one in listed:
        session.add(one, "50", BOOK, 0, 0.0)
    return session


def say(session: Session, **message):
    return session.receive(json.dumps(message).encode(), 1, 1.0)


def live(session: Session, *symbols: str) -> None:
    levels = {"b": {"9": "1"}, "a": {"11": "1"}}
    for symbol in symbols:
        say(session, t="snapshot", topic=f"linked:{symbol}", u=100, **levels)
    say(session, t="ack", id="1")


def delta(session: Session, symbol: str, sequence: int):
    message = {"t": "delta", "topic": f"linked:{symbol}", "p": sequence - 1, "u": sequence, "b": {"8": "1"}, "a": {}}
    return say(session, **message)


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), MemoryError(), AssertionError("never")])
def test_a_frame_whose_decoding_raises_is_an_unread_frame_with_a_sample(error):
    venue = FakeVenue()
    decode = venue.decode

    def buggy(frame, received_us, known):
        if b"boom" in frame:
            raise error
        return decode(frame, received_us, known)

    venue.decode = buggy
    session = Session(venue, Instruments([instrument("AAA")]), "main", random.Random(1))
    session.opened(0.0)
    session.add(instrument("AAA"), "50", BOOK, 0, 0.0)
    live(session, "AAA")
    (sample,) = session.receive(b"boom", 1, 1.0)
    assert isinstance(sample, Sample)
    assert type(error).__name__ in sample.reason
    assert session.undecodable == 1
    assert [type(one) for one in delta(session, "AAA", 101)] == [Delta]


def test_a_pair_that_raises_is_reset_once_left_and_never_heard_again_and_others_go_on():
    session = session_of("AAA", "BBB")
    live(session, "AAA", "BBB")
    session.feeds[AAA].sequencer = None
    reset, fault, leave = delta(session, "AAA", 101)
    assert reset == Reset(pair=AAA, received_us=1, reason=ResetReason.UNSUBSCRIBED)
    assert isinstance(fault, PairFault)
    assert fault.pair == AAA
    assert "AttributeError" in fault.reason
    assert json.loads(leave.text)["unsub"] == ["linked:AAA"]
    assert delta(session, "AAA", 102) == []
    assert [type(one) for one in delta(session, "BBB", 101)] == [Delta]
    assert set(session.pairs) == {BBB}
    assert session.closed("gone", 1) == [Reset(pair=BBB, received_us=1, reason=ResetReason.DISCONNECT)]


def test_a_pair_that_raises_in_the_tick_costs_itself_alone():
    session = session_of("AAA", "BBB")
    live(session, "AAA", "BBB")
    session.feeds[AAA].rhythm = None
    out = session.tick(5_000.0, 5, heard_ms=5_000.0)
    assert [type(one) for one in out[:2]] == [Reset, PairFault]
    assert session.feeds[BBB].live


def test_a_feed_that_raises_when_its_socket_ends_costs_itself_alone():
    session = session_of("AAA", "BBB")
    live(session, "AAA", "BBB")
    session.feeds[AAA].sequencer = None
    out = session.closed("gone", 1)
    assert {type(one) for one in out if one.pair == AAA} == {Reset, PairFault}
    assert [type(one) for one in out if one.pair == BBB] == [Reset]


def test_a_book_that_is_crossed_for_ever_is_given_up_by_the_session():
    session = session_of("AAA", "BBB")
    now_ms, faults = 1.0, []
    live(session, "AAA", "BBB")
    for n in range(4):
        session.feeds[AAA].resync(ResetReason.CROSSED, f"time {n}", 1, now_ms, [])
        faults += [one for one in session.tick(now_ms, 1, heard_ms=now_ms) if isinstance(one, PairFault)]
        now_ms += 4_000.0
    assert [(one.pair, one.tried, one.error) for one in faults] == [(AAA, True, None)]
    assert faults[0].reason == "lost 4 times in 12 s, last for crossed: time 3"


# ── the whole way, with a venue that is well beside it ───────────────────────────────────────────────────────────────


@pytest.fixture
def quick(monkeypatch):
    """All pauses short."""
    monkeypatch.setattr(quarantine, "RETRY_FIRST_MS", 40.0)
    monkeypatch.setattr(quarantine, "QUARANTINE_FIRST_MS", 200.0)
    monkeypatch.setattr(market, "TEND_S", 0.02)
    for module in (link, connection, instruments, market):
        monkeypatch.setattr(module.backoff, "delays", lambda *_, **__: iter(lambda: 0.05, None))


@asynccontextmanager
async def served(budget=None):
    """Four pairs of a venue and four of another, wanted; the pool must outlive the block."""
    async with running([SPOT, FUTURES], budget=budget) as run:
        for pair in all_pairs(run, [SPOT, FUTURES]):
            run.pool.subscribe(pair, "50", ALL)
        yield run
        assert run.pool._group is not None, "the pool has ended"


def state_of(run, pair: Pair):
    return next(state for state in run.pool.states() if state.pair == pair)


def others(run) -> list[Pair]:
    return [pair for pair in all_pairs(run, [SPOT, FUTURES]) if pair != SICK]


async def test_a_pair_whose_events_are_not_taken_is_quarantined_and_others_are_untouched(wait_until, quick):
    async with served() as run:
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT, FUTURES])), "all live")
        take, poison = run.listener.event, True

        def picky(pair, event):
            if poison and pair == SICK and not isinstance(event, Reset):
                raise RuntimeError("the outbox is broken")
            take(pair, event)

        for each in run.pool.markets:
            each._owner.event = picky
            for one in each.links:
                one.emit = picky
        await wait_until(lambda: state_of(run, SICK).reason.startswith("quarantined"), "three tries and no more")
        state = state_of(run, SICK)
        assert state.state == "quarantine"
        assert "RuntimeError: the outbox is broken (test_quarantine.py" in state.reason
        assert run.listener.resets(SICK) == [ResetReason.UNSUBSCRIBED]  # once, however often it was tried
        assert run.is_live(*others(run))
        assert not any(run.listener.resets(pair) for pair in others(run))
        assert not run.pool.proved(SICK, 0.0)  # nobody vouches for its book
        poison = False
        await wait_until(lambda: run.is_live(SICK), "live again when it is well")


async def test_a_pair_whose_book_raises_is_quarantined_and_its_connection_stays(wait_until, quick, monkeypatch):
    async with served() as run:
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT, FUTURES])), "all live")
        sound = PairFeed.delta

        def poisoned(feed, *arguments):
            if feed.pair == SICK:
                raise RecursionError("too deep")
            return sound(feed, *arguments)

        with monkeypatch.context() as broken:
            broken.setattr(PairFeed, "delta", poisoned)
            await wait_until(lambda: run.market(*SPOT).ward.faults >= 4, "three tries and the quarantine")
            assert not any(run.listener.resets(pair) for pair in others(run))
            assert sum(one.reconnects for one in run.market(*SPOT).links) == 0
        await wait_until(lambda: run.is_live(SICK), "live again when it is well")


async def test_a_book_the_venue_crosses_for_ever_is_quarantined_and_comes_back(wait_until, quick, monkeypatch):
    monkeypatch.setattr(quarantine, "LOSSES_LEAST_MS", 100.0)
    monkeypatch.setattr(quarantine, "LOSS_LEAST_MS", 0.0)
    monkeypatch.setattr("feeds.pair_feed.RETRY_FIRST_MS", 20.0)
    async with served() as run:
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT, FUTURES])), "all live")
        with run.simulator.venue(*SPOT).misbehave("crossed", pair=SICK.pair, count=10_000):
            await wait_until(lambda: state_of(run, SICK).state == "quarantine", "quarantine", 20)
            assert "last for crossed: the best bid" in state_of(run, SICK).reason
            assert not any(run.listener.resets(pair) for pair in others(run))
        await wait_until(lambda: run.is_live(SICK), "live again when it is well", 20)


class SickBudget(FreeBudget):
    """Cannot be asked about one venue."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    async def take(self, name: str, cost: float) -> None:
        if self.error is not None and name.startswith(SPOT[0]):
            raise self.error
        await super().take(name, cost)


@pytest.mark.parametrize("error", [FleetError("Redis is away"), RuntimeError("a bug"), KeyError("binance")])
async def test_a_budget_that_fails_for_one_venue_costs_that_venue_alone(wait_until, quick, error):
    budget = SickBudget(error)
    async with served(budget) as run:
        well = [pair for pair in others(run) if pair.venue == FUTURES[0]]
        await wait_until(lambda: run.is_live(*well), "the other venue live")
        await wait_until(lambda: "could not be loaded" in state_of(run, SICK).reason, "the reason is shown")
        budget.error = None
        await wait_until(lambda: run.is_live(SICK), "live when it can be asked", 20)


@pytest.mark.parametrize(
    "method, words",
    [
        ("instruments_requests", "could not be loaded: a fault of our own: RecursionError"),
        ("more_instruments", "could not be loaded: a fault of our own: RecursionError"),
        ("parse_instruments", "could not be loaded: a fault of our own: RecursionError"),
        ("topics", "a fault of our own: RecursionError"),
        ("book_channel", "a fault of our own: RecursionError"),
        ("subscribe", ""),
        ("snapshot_request", "a fault of our own: RecursionError"),
        ("parse_snapshot", "no snapshot: a fault of our own: RecursionError"),
        ("ticket_request", ""),
        ("socket_url", ""),
    ],
)
async def test_no_method_of_a_venue_that_raises_ends_anything_but_its_own_venue(
    wait_until, quick, monkeypatch, method, words
):
    def raises(*_, **__):
        raise RecursionError("too deep")

    monkeypatch.setattr("feeds.pair_feed.FIRST_DELTA_MS", 50.0)
    with monkeypatch.context() as broken:
        broken.setattr(find(*SPOT), method, raises)
        async with served() as run:
            well = [pair for pair in others(run) if pair.venue == FUTURES[0]]
            await wait_until(lambda: run.is_live(*well), "the other venue live")
            told = lambda: state_of(run, SICK).reason + state_of(run, SICK).connection  # noqa: E731
            await wait_until(lambda: (words or "RecursionError") in told(), f"{words!r} in what is shown")
            assert not run.is_live(SICK)
            broken.undo()
            await wait_until(lambda: run.is_live(SICK), "live when it is mended", 20)
        assert not any(run.listener.resets(pair) for pair in well[1:] if pair in run.listener.live)


async def test_a_fault_of_the_market_itself_costs_that_market_alone(wait_until, quick, monkeypatch):
    async with served() as run:
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT, FUTURES])), "all live")
        sick = run.market(*SPOT)
        with monkeypatch.context() as broken:
            broken.setattr(sick.ward, "due", lambda *_: 1 // 0)
            await wait_until(lambda: sick.faults >= 2, "it starts over, again and again")
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT, FUTURES])), "all live again", 20)
        assert not any(run.listener.resets(pair) for pair in others(run) if pair.venue == FUTURES[0])


async def test_metadata_that_is_a_server_error_for_ever_is_asked_for_again_at_a_steady_pace(monkeypatch):
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            raise asyncio.CancelledError

    class Refusing:
        async def ask(self, *_, **__):
            return instruments.Failure(instruments.FailureKind.SERVER, "HTTP 500")

    loader = instruments.InstrumentLoader(FakeVenue(), "http://rest", Refusing(), random.Random(1))
    monkeypatch.setattr(instruments.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await loader.run(lambda _: None)
    assert loader.failures == 12
    assert max(pauses) <= instruments.backoff.VENUE_CAP_S


def test_a_snapshot_and_no_delta_of_a_failed_pair_is_told(monkeypatch):
    """What a broken feed had put out before it failed is ended by its Reset, in that order."""
    session = session_of("AAA")
    say(session, t="ack", id="1")
    sound = session.feeds[AAA].snapshot

    def halfway(snapshot, now_ms, out):
        sound(snapshot, now_ms, out)
        raise ValueError("behind the snapshot")

    monkeypatch.setattr(PairFeed, "snapshot", lambda _, *arguments: halfway(*arguments))
    out = say(session, t="snapshot", topic="linked:AAA", u=1, b={"9": "1"}, a={"11": "1"})
    assert [type(one) for one in out[:3]] == [Snapshot, Reset, PairFault]


async def test_while_no_connection_can_be_had_one_tries_for_all(wait_until, quick, monkeypatch):
    monkeypatch.setattr("feeds.outage.PROBE_MOST_MS", 400.0)
    async with running([SPOT, FUTURES], per_connection=1) as run:
        for pair in all_pairs(run, [SPOT, FUTURES]):
            run.pool.subscribe(pair, "50", BOOK)
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT, FUTURES])), "all live")
        venue, sick = run.simulator.venue(*SPOT), run.market(*SPOT)
        tried = lambda: sum(one.connection.attempts for one in sick.links)  # noqa: E731
        with venue.misbehave("refuse", hard=True):
            venue.misbehave("close_all", hard=True)
            await wait_until(lambda: sick.outage.probes >= 1, "away")
            before = tried() - sick.outage.probes
            await wait_until(lambda: sick.outage.probes >= 4, "some probes")
            assert tried() - sick.outage.probes <= before + 1  # the newest may have begun and not been counted
            assert not any(run.listener.resets(pair) for pair in all_pairs(run, [FUTURES]))
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT])), "all back", 20)
        assert not sick.outage.away


async def test_a_venue_whose_name_cannot_be_resolved_is_parked_with_the_reason_and_comes_back(
    wait_until, quick, monkeypatch
):
    resolve, broken = socket.getaddrinfo, True

    def resolver(host, *arguments, **options):
        if host not in ("localhost", b"localhost"):
            return resolve(host, *arguments, **options)
        if broken:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    async with running([SPOT, FUTURES]) as run:
        ends = {(end["venue"], end["market"]): end for end in run.simulator.endpoints}

        def endpoint(*place):
            host = "localhost" if place == SPOT else "127.0.0.1"
            urls = {name: ends[place][name].replace("127.0.0.1", host) for name in ("rest_url", "ws_url")}
            return Endpoint(**urls)

        monkeypatch.setattr(run.pool, "_endpoint", endpoint)
        for pair in all_pairs(run, [SPOT, FUTURES]):
            run.pool.subscribe(pair, "50", BOOK)
        await wait_until(lambda: run.is_live(*all_pairs(run, [FUTURES])), "the other venue live")
        await wait_until(lambda: "name resolution" in state_of(run, SICK).reason, "the reason is shown")
        assert state_of(run, SICK).state == "waiting"
        broken = False
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT])), "live when it can be resolved", 20)


async def test_whoever_fails_behind_the_pool_ends_that_pair_alone_and_it_is_tried_again(wait_until, quick):
    async with served() as run:
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT, FUTURES])), "all live")
        run.market(*SPOT).fail(SICK, "its batch could not be made: ValueError")
        assert run.listener.resets(SICK) == [ResetReason.UNSUBSCRIBED]
        assert state_of(run, SICK).reason.endswith("its batch could not be made: ValueError")
        assert run.is_live(*others(run))
        await wait_until(lambda: run.is_live(SICK), "live again")


async def test_a_pair_that_cannot_even_be_shown_hides_no_other(wait_until, quick, monkeypatch):
    async with served() as run:
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT, FUTURES])), "all live")
        feed = run.pool.feed(SICK)
        rhythm, feed.rhythm = feed.rhythm, None
        shown = {state.pair: state for state in run.pool.states()}
        feed.rhythm = rhythm
        assert len(shown) == len(all_pairs(run, [SPOT, FUTURES]))
        assert "AttributeError" in shown[SICK].reason


async def test_a_held_pair_stays_held_when_it_is_wanted_otherwise_or_the_instruments_are_loaded_anew(wait_until):
    async with served() as run:
        await wait_until(lambda: run.is_live(*all_pairs(run, [SPOT, FUTURES])), "all live")
        sick = run.market(*SPOT)
        sick.fail(SICK, "boom", tried=True)
        run.pool.subscribe(SICK, "20", BOOK)
        sick._loaded(sick.loader.instruments)
        assert not any(SICK in one.session.pairs for one in sick.links)
        assert state_of(run, SICK).state == "quarantine"
        run.pool.unsubscribe(SICK)
        run.pool.subscribe(SICK, "20", BOOK)  # wanted anew: a new beginning
        await wait_until(lambda: run.is_live(SICK), "live")
