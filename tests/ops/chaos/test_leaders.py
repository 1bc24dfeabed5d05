"""What the scenarios that kill leaders hold against a fleet: each of it can fail."""

from ops.chaos.history import Entry
from ops.chaos.result import Result
from ops.chaos.scenarios.leaders import ENOUGH, judge_enough, judge_round
from ops.chaos.untouched import Round, Told

PAIR = "binance:spot:BTC/USDT"
RESET = Entry(label=PAIR, line="book", id="1500-0", t="reset", n=2, epoch=5, reason="gap")
LABELS = frozenset({PAIR, "okx:spot:ETH/USDT", "htx:futures:SOL/USDT"})
WELL = Round(untouched=LABELS, traded=LABELS, resets=(), deltas=Told(100, 90.0), trades=Told(20, 400.0))


def judged(*rounds: Round) -> Result:
    result = Result(name="kill-leaders", scale="small", seed=1)
    for number, seen in enumerate(rounds, 1):
        judge_round(result, number, seen)
    judge_enough(result, rounds)
    return result


def test_a_round_in_which_books_and_trades_of_others_went_on_holds():
    assert judged(WELL, WELL).passed


def test_a_reset_of_a_pair_that_was_not_the_leaders_is_a_violation_and_names_it():
    result = judged(WELL, WELL._replace(resets=(RESET,)))
    assert result.figures["others_reset"] == 1
    [text] = result.violations
    assert text.startswith(f"{PAIR} was not the leader's of round 2, and was reset: 1500-0 ")
    assert "gap" in text


def test_the_worst_round_counts():
    assert judged(WELL._replace(resets=(RESET,) * 3), WELL._replace(resets=(RESET,))).figures["others_reset"] == 3


def test_a_round_without_a_delta_or_a_trade_is_a_violation():
    result = judged(WELL._replace(deltas=Told(0, 5000.0)), WELL._replace(trades=Told(0, 5000.0)))
    assert result.violations == [
        "no delta of 3 pairs that were not the leader's came in round 1",
        "no trade of 3 pairs that were not the leader's came in round 2",
    ]


def test_a_long_silence_is_beyond_its_limit():
    result = judged(WELL._replace(deltas=Told(50, 1001.0)), WELL._replace(trades=Told(9, 2001.0)))
    assert result.violations == []
    assert sorted(text.partition(" ")[0] for text in result.exceeded) == ["others_silent_ms", "trades_silent_ms"]


def test_of_too_few_pairs_silence_says_nothing():
    quiet = Round(frozenset({PAIR}), frozenset({PAIR}), (), Told(0, 5000.0), Told(0, 5000.0))
    assert judged(WELL, quiet).passed


def test_a_run_that_saw_too_few_untouched_pairs_proves_nothing():
    assert judged(WELL._replace(untouched=frozenset(), traded=frozenset())).violations != []
    [text] = judged(WELL._replace(traded=frozenset())).violations
    assert text == f"expected a round with {ENOUGH} untouched pairs and trades of {ENOUGH}: there were at most 3 and 0"
