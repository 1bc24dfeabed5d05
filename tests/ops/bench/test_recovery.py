"""`fleet bench recovery`, small: every figure is there, and an invariant that does not hold is found and told."""

import asyncio
import signal

import pytest

from books.events import Delta, Event, Reset, ResetReason, Snapshot, SnapshotReason
from books.sequence import CONTIGUOUS
from feeds.venues import find
from fleet import logs
from fleet.pair import Pair
from ops.bench import recovery as bench
from ops.bench.recovery import Budget, measure
from ops.bench.recovery_figures import (
    Losses,
    MarketFigures,
    Planned,
    Spread,
    Told,
    Witness,
    breaks,
    spread,
    violations,
)
from ops.cli import bench as command
from ops.cli.run import run
from ops.simulator import misbehaviours
from tests.support.commands import assert_one_line, run_fleet, running_fleet

PAIR = Pair("okx", "spot", "BTC/USDT")
MARKETS = ("okx:spot", "hyperliquid:futures")


def snapshot(sequence: int, reason: SnapshotReason = SnapshotReason.FIRST) -> Snapshot:
    return Snapshot(pair=PAIR, received_us=0, bids={}, asks={}, reason=reason, sequence=sequence)


def delta(sequence: int) -> Delta:
    return Delta(pair=PAIR, received_us=0, bids={}, asks={}, sequence=sequence, first_sequence=sequence)


def reset() -> Reset:
    return Reset(pair=PAIR, received_us=0, reason=ResetReason.GAP)


def figures(**changed: object) -> MarketFigures:
    usual = {"venue": "okx", "market": "spot", "depth": "400", "bootstrap": "in band", "hurried": False, "pairs": 8}
    return MarketFigures(**{**usual, **changed})  # type: ignore[arg-type]


# ── the whole of it ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_figure_of_a_market_is_there_and_every_invariant_held() -> None:
    ended = run_fleet("bench", "recovery", *MARKETS, "--runs", "2", "--json", timeout_s=120)
    assert ended.code == 0, ended
    measured = ended.json
    assert (measured["name"], measured["runs"], measured["violations"]) == ("recovery", 2, [])
    assert "cores" in measured["machine"]
    deltas, images = measured["markets"]
    assert (deltas["venue"], images["venue"]) == ("okx", "hyperliquid")
    for seen in (deltas, images):
        assert seen["bootstrap_ms"] > 0
        assert (seen["duplicates"], seen["duplicate_resets"]) == (2, 0)
        assert (seen["planned"]["connections"], seen["planned"]["resets"], seen["planned"]["missed"]) == (1, 0, 0)
        assert seen["planned"]["moved_ms"] > 0
        assert (seen["disturbed"], seen["strays"], seen["breaches"]) == (0, 0, {})
        assert (seen["pairs"], seen["equal"], seen["unequal"]) == (8, 8, [])
    assert (deltas["hurried"], images["hurried"]) == (False, True)
    assert (images["lost"], images["lost_because"]) == (None, "images")
    lost = deltas["lost"]
    assert (lost["resets"], lost["unseen"], len({run["pair"] for run in lost["runs"]})) == (2, [], 2)
    assert {run["reason"] for run in lost["runs"]} == {"gap"}
    for run_ in lost["runs"]:
        assert 0 < run_["reset_ms"] <= run_["live_ms"]
    assert lost["live_ms"]["p50"] <= lost["live_ms"]["worst"]
    assert lost["messages"]["worst"] >= 0


def test_what_is_violated_is_named_in_the_table_and_ends_with_code_1(monkeypatch, capsys) -> None:
    monkeypatch.setitem(misbehaviours.MISBEHAVIOURS, "duplicate", misbehaviours.drop)
    monkeypatch.setattr(command, "on_uvloop", asyncio.run)
    monkeypatch.setattr(logs, "set_up", lambda *_: None)  # this process has its own
    assert run(["bench", "recovery", "okx:spot", "--runs", "1"]) == 1
    printed = capsys.readouterr()
    assert "okx spot: 1 resets by 1 duplicated messages" in printed.out
    assert "every invariant held" not in printed.out
    assert max(map(len, printed.out.splitlines())) <= 100
    assert printed.err == "fleet: okx spot: 1 resets by 1 duplicated messages\n"


async def test_what_does_not_come_in_time_is_an_error_and_not_a_hang(monkeypatch) -> None:
    monkeypatch.setattr(bench, "START_S", 0.0)
    seen = await measure(("okx", "spot"), 1)
    assert seen.error.startswith("waited 0 s for every pair live; BTC/USDT waiting")
    assert seen.violations == [f"broke off: {seen.error}"]
    assert (seen.bootstrap_ms, seen.planned, seen.equal) == (None, None, None)


async def test_a_loss_that_never_shows_is_a_violation(monkeypatch) -> None:
    monkeypatch.setattr(bench, "NOTICE_S", 0.0)
    seen = await measure(("okx", "spot"), 1)
    assert seen.lost is not None
    assert seen.lost.unseen == ["BTC/USDT"]
    assert "the loss of a message of BTC/USDT was never noticed" in seen.violations


def test_ctrl_c_ends_it_in_order() -> None:
    with running_fleet("bench", "recovery", *MARKETS, "--runs", "1") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "fleet: okx spot: done\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == ("", "fleet: broken off by SIGINT; everything that was started has ended\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recovery", "binanse"], ["did you mean binance?"]),
        (["recovery", "--pairs", "3"], ["--pairs", "ingest"]),
        (["ingest", "okx"], ["VENUE", "recovery"]),
    ],
    ids=["no such venue", "an option of ingest", "a venue for ingest"],
)
def test_what_cannot_be_meant_is_one_line(arguments: list[str], words: list[str]) -> None:
    assert_one_line(run_fleet("bench", *arguments), 2, *words)


# ── the figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, []),
        ({"duplicates": 5, "duplicate_resets": 1}, ["1 resets by 5 duplicated messages"]),
        ({"planned": Planned(1, 2, 0, 0, 9.0)}, ["2 resets by the planned replacement"]),
        ({"planned": Planned(1, 0, 3, 8, 9.0)}, ["3 times something is missing behind the planned replacement"]),
        ({"disturbed": 1}, ["1 resets of pairs that were not hurt"]),
        ({"strays": 1}, ["1 deltas were told that do not follow"]),
        ({"unequal": ["A/B", "C/D"]}, ["the books of A/B, C/D differ from the venue's"]),
        ({"lost": Losses(resets=1)}, ["1 resets for 0 lost messages"]),
        ({"breaches": {"connects": 2}}, ["2 × beyond the venue's limit: connects"]),
    ],
)
def test_every_invariant_has_its_words(changed: dict, words: list[str]) -> None:
    assert violations(figures(**changed)) == words


@pytest.mark.parametrize(
    ("events", "broken"),
    [
        ([snapshot(4), delta(5), delta(6)], []),
        ([snapshot(4), delta(5), delta(7), delta(8)], [2]),
        ([snapshot(4), delta(6)], [1]),
        ([snapshot(4), delta(5), reset(), delta(6)], [3]),
        ([snapshot(4), delta(5), reset(), snapshot(9), delta(10)], []),
        ([snapshot(4), delta(5), snapshot(9, SnapshotReason.SEAM), delta(10)], []),
    ],
    ids=["whole", "a hole", "a hole behind the snapshot", "not live", "a resync", "a seam"],
)
def test_deltas_that_do_not_follow_are_found(events: list[Event], broken: list[int]) -> None:
    assert list(breaks(events, CONTIGUOUS)) == broken


def test_a_pair_is_live_again_with_the_snapshot_behind_its_reset() -> None:
    witness = Witness()
    witness.event(PAIR, Told(1.0, 0, snapshot(1)))
    marks = witness.marks()
    assert witness.live_again(PAIR, marks) is None
    witness.event(PAIR, Told(2.0, 7, reset()))
    assert [told.messages for told in witness.resets(PAIR, marks)] == [7]
    assert witness.live_again(PAIR, marks) is None
    witness.event(PAIR, Told(3.0, 0, snapshot(2, SnapshotReason.RESYNC)))
    assert witness.live_again(PAIR, marks) == 3.0
    assert witness.seams(PAIR, marks) == 0


def test_half_of_the_runs_are_no_worse_than_p50() -> None:
    assert spread([3.0, 1.0, 2.0, 9.0]) == Spread(2.0, 9.0)
    assert spread([]) is None


async def test_what_the_budget_cannot_pay_now_it_names_the_time_for() -> None:
    budget = Budget(find("okx", "spot").limits)
    assert budget.wait_s("okx:spot:connect", 1) <= 0
    await budget.take("okx:spot:connect", 1)
    assert 0 < budget.wait_s("okx:spot:connect", 1) < 1
    await budget.ban("okx:spot:connect", 60_000)
    assert 59 < budget.wait_s("okx:spot:connect", 1) <= 60
