"""Whose death hurt a pair: what is excused by it, and what never is."""

import pytest

from ops.chaos.history import Entry
from ops.chaos.untouched import Kill, Round, Told, rounds, told

PAIR, OTHER = "binance:spot:BTC/USDT", "bybit:spot:ETH/USDT"
KILLED = 1000


def entry(at_ms: int, kind: str, epoch: int, *, label: str = PAIR, line: str = "book", reason: str = "") -> Entry:
    return Entry(label=label, line=line, id=f"{at_ms}-0", t=kind, n=at_ms, epoch=epoch, reason=reason)


def book(*told: tuple[int, str, int], label: str = PAIR) -> list[Entry]:
    return [entry(*one, label=label) for one in told]


def judged(*told: tuple[int, str, int], kills: list[Kill]) -> list[Round]:
    return rounds({PAIR: book((1, "snapshot", 5), *told)}, {}, kills, 9000)


def resets(found: list[Round]) -> list[int]:
    return [one.n for each in found for one in each.resets]


def test_a_reset_of_a_pair_that_nobody_dead_held_is_nobodys_fault_but_ours():
    [found] = judged((1500, "reset", 5), kills=[Kill(KILLED, {OTHER: 5})])
    assert [one.n for one in found.resets] == [1500]
    assert found.untouched == {PAIR}


@pytest.mark.parametrize("reason", ["takeover", "gap", "unsubscribed", "disconnected"])
def test_no_reason_excuses_a_reset_of_an_untouched_pair(reason: str):
    line = [*book((1, "snapshot", 5)), entry(1500, "reset", 7, reason=reason)]
    [found] = rounds({PAIR: line}, {}, [Kill(KILLED, {})], 9000)
    assert len(found.resets) == 1


def test_the_takeover_of_what_the_victim_held_may_begin_with_a_reset():
    [found] = judged((5000, "reset", 6), (5100, "snapshot", 6), (5200, "delta", 6), kills=[Kill(KILLED, {PAIR: 5})])
    assert found.resets == ()
    assert found.untouched == frozenset()


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_once_the_successor_has_told_of_the_book_nothing_more_is_excused(kind: str):
    found = judged((5100, kind, 6), (5300, "reset", 6), kills=[Kill(KILLED, {PAIR: 5})])
    assert resets(found) == [5300]


def test_an_orphan_whose_heir_dies_before_it_told_anything_is_still_an_orphan():
    kills = [Kill(KILLED, {PAIR: 5}), Kill(5200, {PAIR: 6})]
    found = judged((5100, "reset", 6), (9000, "reset", 7), kills=kills)
    assert resets(found) == []
    assert [one.untouched for one in found] == [frozenset(), frozenset()]


def test_an_orphan_that_is_nobodys_at_the_next_kill_is_still_an_orphan():
    found = judged((6000, "reset", 6), kills=[Kill(KILLED, {PAIR: 5}), Kill(5200, {})])
    assert resets(found) == []
    assert found[1].untouched == frozenset()


def test_a_pair_taken_over_after_one_kill_is_untouched_by_the_next():
    kills = [Kill(KILLED, {PAIR: 5}), Kill(5200, {OTHER: 9})]
    found = judged((5000, "reset", 6), (5100, "snapshot", 6), (5300, "reset", 6), kills=kills)
    assert [len(one.resets) for one in found] == [0, 1]
    assert [one.untouched for one in found] == [frozenset(), {PAIR}]


def test_a_pair_that_had_left_the_victim_before_it_died_is_not_its_own():
    # under 6 another holds it already; that the victim had it under 5 is no excuse
    found = judged((900, "delta", 6), (5000, "reset", 6), kills=[Kill(KILLED, {})])
    assert resets(found) == [5000]


def test_what_happened_before_the_first_kill_is_not_judged():
    assert resets(judged((900, "reset", 5), kills=[Kill(KILLED, {})])) == []


def test_a_reset_counts_in_the_round_in_which_redis_took_it():
    kills = [Kill(KILLED, {}), Kill(2000, {}), Kill(3000, {})]
    found = judged((1999, "reset", 5), (2000, "reset", 5), (8000, "reset", 5), kills=kills)
    assert [len(one.resets) for one in found] == [1, 1, 1]


def test_deltas_and_trades_of_untouched_pairs_are_counted_together_and_those_of_others_are_not():
    books = {
        PAIR: book((1, "snapshot", 5), (1100, "delta", 5), (1400, "delta", 5), (2600, "delta", 5)),
        OTHER: book((1, "snapshot", 7), (1700, "delta", 7), (1900, "delta", 7), label=OTHER),
    }
    trades = {
        label: [entry(at_ms, "trade", 1, label=label, line="trades")] for label, at_ms in ((PAIR, 1250), (OTHER, 1800))
    }
    both, one = rounds(books, trades, [Kill(KILLED, {}), Kill(2000, {OTHER: 7})], 3000)
    assert both.untouched == both.traded == {PAIR, OTHER}
    assert both.deltas == Told(4, 300)
    assert both.trades == Told(2, 550)
    assert one.untouched == one.traded == {PAIR}
    assert one.deltas == Told(1, 600)
    assert one.trades == Told(0, 1000)


def test_a_silence_lasts_from_one_entry_to_the_next_or_to_an_end_of_the_window():
    assert told([], 0, 700) == Told(0, 700)
    assert told([650, 50, 150, 9999], 0, 700) == Told(3, 500)
    assert told([100], 0, 700) == Told(1, 600)
