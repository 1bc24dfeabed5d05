"""ops/chaos/checker.py: a sound history passes, and every invariant bites on the smallest forgery of it."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from books.sequence import CONTIGUOUS, LINKED
from ops.chaos.checker import check
from ops.chaos.history import (
    Asked,
    Budget,
    Entry,
    Fact,
    History,
    Invariant,
    Overtaken,
    Reading,
    ReadToEnd,
    Report,
    Server,
)
from tests.support.histories import BTC, ETH, MEMBERS, Line, Maker, random_history, rule_of, small

LIMITS = [Budget(venue="binance", market="spot", most=20.0, window_ms=1000.0)]


def judge(history: History, **more: Any) -> Report:
    return check(history, **{"rule_of": rule_of, "budgets": LIMITS, **more})


def entries(history: History, label: str = BTC, t: str = "") -> list[int]:
    """Where the entries of a pair stand on the tape."""
    return [
        i
        for i, note in enumerate(history.tape)
        if isinstance(note, Entry) and note.label == label and t in {"", note.t}
    ]


def with_tape(history: History, change: Callable[[list[Any]], object]) -> History:
    tape = list(history.tape)
    change(tape)
    return replace(history, tape=tape)


def with_fact(history: History, fact: str, nth: int, **fields: Any) -> History:
    facts = list(history.facts)
    at = [i for i, one in enumerate(facts) if one.fact == fact][nth]
    facts[at] = replace(facts[at], **fields)
    return replace(history, facts=facts)


def changed(history: History, at: int, **fields: Any) -> History:
    return with_tape(history, lambda tape: tape.__setitem__(at, replace(tape[at], **fields)))


def without(history: History, at: int) -> History:
    return with_tape(history, lambda tape: tape.pop(at))


def swapped(history: History, one: int, other: int) -> History:
    def swap(tape: list[Any]) -> None:
        tape[one], tape[other] = tape[other], tape[one]

    return with_tape(history, swap)


def found(history: History, **more: Any) -> set[Invariant]:
    return {violation.invariant for violation in judge(history, **more).violations}


def only(history: History, **more: Any) -> str:
    """The text of the only violation."""
    [violation] = judge(history, **more).violations
    return str(violation)


def test_a_sound_history_passes_and_its_figures_are_counted() -> None:
    report = judge(small().history())
    assert [str(violation) for violation in report.violations] == []
    assert report.sound
    assert report.figures == {
        "lines": 2, "servers": 1, "grants": 3, "events_acknowledged": 14, "acknowledged_and_lost": 0, "writes_refused": 1,
        "leases_lost": 0, "leases_released": 0, "readings": 3, "readings_live": 2, "oldest_live_ms": 20.0, "requests": 4,
        "uncovered_stretches": 0, "longest_uncovered_ms": 0.0, "entries": 14, "deltas": 7, "snapshots": 4, "resets": 1,
        "seams": 1, "epochs": 3, "restarts": 0, "forks": 0, "lost_in_failover": 0, "unrecorded": 0,
    }  # fmt: skip


# --- I1: one writer at a time -------------------------------------------------------------------------------------------


def test_a_write_of_the_former_owner_after_its_successors_first() -> None:
    history = small().history()
    places = entries(history)
    old, new = history.tape[places[0]], history.tape[places[5]]
    assert isinstance(old, Entry)
    assert isinstance(new, Entry)
    forged = changed(history, places[6], epoch=old.epoch)
    assert f"a write under {old.epoch} came after one under {new.epoch}" in str(judge(forged).violations[0])
    assert Invariant.EPOCHS in found(forged)


def test_a_write_under_a_token_that_nobody_was_granted() -> None:
    history = small().history()
    last = entries(history)[-1]
    assert found(changed(history, last, epoch=1_763_999_000_000)) >= {Invariant.EPOCHS}


def test_a_grant_that_no_member_knows_of_leaves_its_writes_without_an_owner() -> None:
    history = small().history()
    second = [fact for fact in history.facts if fact.fact == "granted" and fact.pair == BTC][1]
    forged = replace(history, facts=[fact for fact in history.facts if fact is not second])
    assert found(forged) == {Invariant.EPOCHS}


def test_one_token_granted_to_two_members() -> None:
    history = small().history()
    granted = next(fact for fact in history.facts if fact.fact == "granted")
    forged = replace(history, facts=[*history.facts, replace(granted, member=MEMBERS[2])])
    assert "was granted 2 times" in only(forged)
    assert found(forged) == {Invariant.EPOCHS}


def test_two_members_wrote_under_one_token() -> None:
    forged = with_fact(small().history(), "accepted", 3, member=MEMBERS[2])
    assert f"{MEMBERS[2]} wrote under token" in only(forged)
    assert found(forged) == {Invariant.EPOCHS}


def test_a_token_that_did_not_grow_over_the_cells() -> None:
    made = small()
    token = next(fact.token for fact in made.facts if fact.fact == "granted" and fact.cell_before is not None)
    forged = with_fact(made.history(), "granted", 2, cell_before=f"{token + 1} 1 - 1-1")
    assert "tokens must grow" in only(forged)


def test_a_members_tokens_that_fall_over_a_flush() -> None:
    made = Maker()
    line = Line(made, BTC)
    line.grant(MEMBERS[0], covered=False)
    line.delta()
    made._token -= 90_000
    made.flush([line])
    assert found(made.history()) >= {Invariant.EPOCHS}


def test_two_grants_that_found_the_same_token_on_one_server() -> None:
    made = Maker()
    line = Line(made, BTC)
    line.grant(MEMBERS[0], covered=False)
    first = line.cell
    line.grant(MEMBERS[1], covered=True)
    line.cell = first
    line.grant(MEMBERS[2], covered=True)
    assert "were both granted over" in only(made.history())

    made.tape.append(Server("second", made.tick()))
    assert judge(made.history()).sound, "after a failover the second grant may well have found the older cell"


def test_a_refused_write_that_is_in_the_stream_all_the_same() -> None:
    made = small()
    history = made.history()
    refused = next(fact for fact in history.facts if fact.fact == "refused")
    first = history.tape[entries(history)[1]]
    assert isinstance(first, Entry)
    forged = with_fact(history, "refused", 0, token=first.epoch, n=first.n - 1)
    assert refused.verdict == "FENCED"
    assert "is in the stream" in only(forged)
    assert found(forged) == {Invariant.EPOCHS}
    assert found(with_fact(forged, "refused", 0, verdict="AHEAD")) == {Invariant.EPOCHS}
    assert found(with_fact(forged, "refused", 0, verdict="BEHIND")) == set()


# --- I2: nothing missing, nothing twice -----------------------------------------------------------------------------------


def test_an_entry_that_is_missing() -> None:
    history = small().history()
    delta = entries(history, t="delta")[1]
    forged = without(history, delta)
    assert found(forged) == {Invariant.SEQUENCES}
    texts = "\n".join(map(str, judge(forged).violations))
    assert "is missing" in texts
    assert "acknowledged entries are not in the stream" in texts


def test_a_missing_mark_is_missed_by_its_number_alone() -> None:
    history = small().history()
    forged = without(history, entries(history, t="mark")[0])
    assert found(forged) == {Invariant.SEQUENCES}


def test_an_entry_that_is_there_twice() -> None:
    history = small().history()
    at = entries(history, t="mark")[0]
    assert "came again" in only(with_tape(history, lambda tape: tape.insert(at + 1, tape[at])))


def test_the_last_entry_of_a_line_that_was_acknowledged_and_is_gone() -> None:
    history = small().history()
    assert "acknowledged entries are not in the stream" in only(without(history, entries(history)[-1]))


def test_a_line_of_which_nothing_is_there_although_it_was_acknowledged() -> None:
    made = Maker()
    made.tick(60_000.0)
    Line(made, BTC).grant(MEMBERS[0], covered=False)
    history = made.history()
    assert "acknowledged entries are not in the stream" in only(without(history, entries(history)[0]))


def test_the_first_entry_of_a_line_that_is_gone() -> None:
    history = small().history()
    assert Invariant.SEQUENCES in found(replace(without(history, entries(history)[0]), facts=history.facts))


def test_a_venue_sequence_that_is_missing_under_an_unbroken_n() -> None:
    history = small().history()
    at = entries(history, t="delta")[1]
    entry = history.tape[at]
    assert isinstance(entry, Entry)
    assert entry.sequence is not None
    assert entry.first_sequence is not None
    forged = changed(history, at, first_sequence=entry.first_sequence + 1)
    assert "something is missing (contiguous)" in only(forged)


def test_a_venue_sequence_that_comes_twice_under_an_unbroken_n() -> None:
    history = small().history()
    first, second = entries(history, t="delta")[:2]
    repeated = history.tape[first]
    assert isinstance(repeated, Entry)
    forged = changed(history, second, sequence=repeated.sequence, first_sequence=repeated.first_sequence)
    assert any("comes again" in str(violation) for violation in judge(forged).violations)
    assert found(forged) == {Invariant.SEQUENCES}


def test_the_venues_own_rule_judges() -> None:
    history = small().history()
    at = entries(history, t="delta")[1]
    forged = changed(history, at, previous_sequence=1)
    assert judge(forged, rule_of=lambda _: CONTIGUOUS).sound
    assert found(forged, rule_of=lambda _: LINKED) == {Invariant.SEQUENCES}
    assert judge(history, rule_of=lambda _: LINKED).sound


def test_a_successor_that_was_not_covered_and_did_not_say_so() -> None:
    made = Maker()
    line = Line(made, BTC)
    line.grant(MEMBERS[0], covered=False)
    line.delta()
    line.sequence += 7  # what the venue sent while nobody listened
    line.grant(MEMBERS[1], covered=True)
    line.delta()
    assert "something is missing" in only(made.history())


def test_a_delta_behind_a_reset() -> None:
    history = small().history()
    at = entries(history, ETH, "snapshot")[1]
    forged = changed(history, at, t="mark")
    assert any("follows a Reset without a Snapshot" in str(violation) for violation in judge(forged).violations)
    assert found(forged) == {Invariant.SEQUENCES}


def test_a_snapshot_that_goes_back_is_a_seam_or_a_fault() -> None:
    history = small().history()
    at = entries(history, t="snapshot")[1]
    assert judge(history).figures["seams"] == 1
    forged = changed(history, at, reason="resync", sequence=900)
    assert any("goes back from sequence" in str(violation) for violation in judge(forged).violations)


def test_after_a_flush_the_numbers_start_above_and_the_book_anew() -> None:
    made = small()
    line = Line(made, "bybit:spot:A/B")
    line.grant(MEMBERS[0], covered=False)
    line.delta()
    made.flush([line])
    line.delta()
    history = made.history()
    assert judge(history).sound
    assert judge(history).figures["restarts"] == 1

    started = entries(history, line.label, "snapshot")[-1]
    assert "goes on without a Reset" in only(changed(history, started, t="delta", reason="", first_sequence=1))
    forged = with_fact(history, "granted", -1, cell_before=f"{line.token - 1} {line.n} - 1-1")
    assert any("is missing" in str(violation) for violation in judge(forged).violations), "a cell was there: no flush"


def test_after_a_failover_an_n_may_come_again_under_a_higher_token_only() -> None:
    made = Maker()
    line = Line(made, BTC)
    line.grant(MEMBERS[0], covered=False)
    for _ in range(5):
        line.delta()
    made.fail_over([line], [2])
    line.delta()
    history = made.history()
    report = judge(history)
    assert report.sound
    assert (report.figures["forks"], report.figures["lost_in_failover"], report.figures["servers"]) == (1, 2, 2)

    undeclared = with_tape(
        history, lambda tape: tape.pop(next(i for i, n in enumerate(tape) if i and type(n) is Server))
    )
    assert any("came again" in str(violation) for violation in judge(undeclared).violations)
    again = entries(history, t="reset")[0]
    same = changed(history, again, epoch=line.token - 50_000)
    assert any("came again" in str(violation) for violation in judge(same).violations)


def test_after_a_fork_the_venues_chain_is_judged_from_where_the_server_stands() -> None:
    made = Maker()
    line = Line(made, BTC)
    line.grant(MEMBERS[0], covered=False)
    line.delta()
    kept = (line.n, line.sequence)
    line.delta(4)
    made.tape.append(Server("second", made.tick()))
    line.n, line.sequence = kept
    line.cell = f"{line.token} {line.n} {line.sequence} 1-1"
    line.grant(MEMBERS[0], covered=True)
    line.delta(4)  # the lost event is sent again
    assert judge(made.history()).sound

    line.sequence += 1
    line.delta()
    assert "something is missing" in only(made.history())


# --- I3: readers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "text"),
    [
        ({"age_ms": 10_001.0}, "10001.0 ms old"),
        ({"age_ms": None}, "None ms old"),
        ({"lease_alive": False}, "had no owner"),
        ({"wrong": "bids differ"}, "was wrong: bids differ"),
    ],
)
def test_a_book_called_live_that_is_not(lie: dict[str, Any], text: str) -> None:
    made = small()
    made.read(Line(made, BTC), **lie)
    assert text in only(made.history())
    assert found(made.history()) == {Invariant.FRESH}
    honest = replace(made.history(), readings=[replace(one, status="stale") for one in made.readings])
    assert judge(honest).sound


# --- I6: venues -----------------------------------------------------------------------------------------------------------


def test_more_than_the_budget_in_any_window() -> None:
    made = small()
    made.ask(999.0, cost=1.0)
    assert "21 of 20 spent in 1000 ms" in only(made.history())
    assert found(made.history()) == {Invariant.BUDGETS}


def test_what_left_the_window_counts_no_more() -> None:
    made = small()
    made.ask(1000.0, cost=5.0)
    assert judge(made.history()).sound


def test_aligned_windows_begin_with_the_clock() -> None:
    aligned = [replace(LIMITS[0], aligned=True)]
    made = Maker()
    for at_ms in (900.0, 990.0, 1000.0, 1100.0):
        made.ask(at_ms, cost=10.0)
    assert judge(made.history(), budgets=aligned).sound
    assert found(made.history()) == {Invariant.BUDGETS}
    made.ask(1999.0, cost=1.0)
    assert found(made.history(), budgets=aligned) == {Invariant.BUDGETS}


def test_a_request_inside_a_ban() -> None:
    made = Maker()
    made.ask(0.0, status=418, ban_ms=5000.0)
    made.ask(200.0, status=418)  # was under way
    made.ask(5000.0)
    assert judge(made.history()).sound
    made.ask(4999.0)
    assert "asked 4999 ms into a ban of 5000 ms" in only(made.history())
    assert found(made.history()) == {Invariant.BUDGETS}


def test_the_longer_of_two_bans_counts() -> None:
    made = Maker()
    made.ask(0.0, status=418, ban_ms=5000.0)
    made.ask(100.0, status=429, ban_ms=1000.0)
    made.ask(3000.0)
    assert found(made.history()) == {Invariant.BUDGETS}


def test_other_venues_have_budgets_of_their_own() -> None:
    made = small()
    made.asked += [Asked(mono_ms=1.0, at=1, venue="okx", market="spot", cost=100.0)]
    assert judge(made.history()).sound


# --- the record itself ----------------------------------------------------------------------------------------------------


def test_trimming_that_overtook_the_recorder_makes_the_record_no_proof() -> None:
    history = small().history()
    at = entries(history, t="mark")[0]

    def trim(tape: list[Any]) -> None:
        tape[at] = Overtaken(stream="deltas:{00}", after_id="4-0", missing=1, labels=[BTC])

    report = judge(with_tape(history, trim))
    assert {violation.invariant for violation in report.violations} == {Invariant.RECORD}
    assert report.figures["unrecorded"] == 1


def test_a_recorder_that_never_read_to_the_end_is_no_proof() -> None:
    history = small().history()
    forged = with_tape(history, lambda tape: tape.pop())
    assert isinstance(history.tape[-1], ReadToEnd)
    assert found(forged) == {Invariant.RECORD}


def test_facts_that_could_not_be_written_and_lines_that_cannot_be_read_are_told() -> None:
    history = small().history()
    dropped = Fact(at=0, mono_ms=1.0, fact="dropped", member=MEMBERS[0], facts=3)
    assert found(replace(history, facts=[*history.facts, dropped])) == {Invariant.RECORD}
    assert found(replace(history, torn=["tape.jsonl, line 3: nothing"])) == {Invariant.RECORD}


def test_a_stretch_without_data_mark_or_declared_gap_is_listed() -> None:
    made = Maker()
    line = Line(made, BTC)
    line.grant(MEMBERS[0], covered=False)
    made.tick(500.0)
    line.mark()
    made.tick(400.0)
    line.delta()
    line.reset("silence")
    made.tick(900.0)
    line.snapshot("resync")
    report = judge(made.history(), silence_ms=300.0)
    assert report.sound
    assert [round(one.length_ms) for one in report.uncovered] == [510, 410]
    assert report.figures["uncovered_stretches"] == 2


def test_without_facts_the_tape_is_judged_alone() -> None:
    history = replace(small().history(), facts=())
    assert judge(history).sound
    assert found(without(history, entries(history)[2])) == {Invariant.SEQUENCES}


# --- at random ------------------------------------------------------------------------------------------------------------

seeded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
histories = st.builds(random_history, st.randoms(use_true_random=False), st.integers(5, 60))
steady = st.builds(random_history, st.randoms(use_true_random=False), st.integers(5, 60), failovers=st.just(False))


@seeded
@given(histories)
def test_sound_histories_pass(history: History) -> None:
    assert [str(violation) for violation in judge(history).violations] == []


def _mutated(history: History, what: str, at: int, other: int) -> History:
    entry = history.tape[at]
    assert isinstance(entry, Entry)
    match what:
        case "removed":
            return without(history, at)
        case "twice":
            return with_tape(history, lambda tape: tape.insert(at + 1, entry))
        case "swapped":
            return swapped(history, at, other)
        case "n":
            return changed(history, at, n=entry.n + 1)
        case "token":
            return changed(history, at, epoch=entry.epoch + 1)
        case "older":
            return changed(history, at, epoch=entry.epoch - 1)
        case "sequence":
            assert entry.sequence is not None
            assert entry.first_sequence is not None
            return changed(
                history, at, sequence=entry.sequence + 1, first_sequence=entry.first_sequence + 1,
                previous_sequence=entry.sequence,
            )  # fmt: skip
    raise AssertionError(what)


@seeded
@given(steady, st.sampled_from(["removed", "twice", "swapped", "n", "token", "older"]), st.data())
def test_without_a_failover_any_one_change_of_order_number_or_token_is_caught(
    history: History, what: str, data: st.DataObject
) -> None:
    places = entries(history, data.draw(st.sampled_from([BTC, ETH])))
    assume(what != "swapped" or len(places) > 1)
    i = data.draw(st.integers(0, len(places) - (2 if what == "swapped" else 1)))
    forged = _mutated(history, what, places[i], places[min(i + 1, len(places) - 1)])
    assert found(forged) & {Invariant.EPOCHS, Invariant.SEQUENCES}


@seeded
@given(histories, st.sampled_from(["removed", "twice", "swapped", "n", "token", "older"]), st.data())
def test_with_failovers_any_one_change_inside_a_tenure_is_caught(
    history: History, what: str, data: st.DataObject
) -> None:
    """At the very end of what a lost server had, a change cannot be told from what the failover took."""
    places = entries(history, data.draw(st.sampled_from([BTC, ETH])))
    tape: list[Any] = list(history.tape)
    inner = [
        (here, after)
        for before, here, after in zip(places, places[1:], places[2:], strict=False)
        if tape[before].epoch == tape[here].epoch == tape[after].epoch
        and not any(isinstance(note, Server) for note in tape[before:after])
    ]
    assume(inner)
    here, after = data.draw(st.sampled_from(inner))
    assert found(_mutated(history, what, here, after)) & {Invariant.EPOCHS, Invariant.SEQUENCES}


@seeded
@given(histories, st.data())
def test_any_delta_moved_by_one_is_caught(history: History, data: st.DataObject) -> None:
    places = entries(history, data.draw(st.sampled_from([BTC, ETH])), "delta")
    if not places:
        return
    assert Invariant.SEQUENCES in found(_mutated(history, "sequence", data.draw(st.sampled_from(places)), 0))


def test_random_histories_have_everything_in_them() -> None:
    """Otherwise the two tests above would prove less than they seem to."""
    rng = random.Random(7)
    figures = [judge(random_history(rng, 60)).figures for _ in range(20)]
    for name in ("seams", "resets", "restarts", "forks", "lost_in_failover", "grants"):
        assert sum(figure[name] for figure in figures) > 0, name


def test_a_reading_tells_what_was_read() -> None:
    reading = Reading(mono_ms=1.0, label=BTC, status="live", age_ms=None)
    [violation] = judge(replace(small().history(), readings=[reading])).violations
    assert BTC in violation.shown[0]
