"""ops/chaos/history_files.py: a history comes back from its files as it was written, torn ends and all."""

from pathlib import Path

import msgspec

from fleet.evidence import open_evidence
from fleet.pair import parse_label
from ops.chaos.checker import check
from ops.chaos.history import History, Invariant
from ops.chaos.history_files import ASKED, EVIDENCE, READINGS, TAPE, HistoryFile, load_history
from tests.support.histories import BTC, rule_of, small


def save(history: History, folder: Path) -> None:
    for name, notes in ((TAPE, history.tape), (READINGS, history.readings), (ASKED, history.asked)):
        with HistoryFile(folder / name) as file:
            for note in notes:
                file.add([note])
    for member in {fact.member for fact in history.facts}:
        with HistoryFile(folder / EVIDENCE / f"{member}.jsonl") as file:
            file.add(fact for fact in history.facts if fact.member == member)


def test_what_was_written_is_read_and_judged_the_same(tmp_path: Path) -> None:
    history = small().history()
    save(history, tmp_path)
    loaded = load_history(tmp_path)
    assert list(loaded.tape) == list(history.tape)
    assert sorted(loaded.facts, key=lambda fact: fact.mono_ms) == list(history.facts)
    assert loaded.readings == list(history.readings)
    assert loaded.asked == list(history.asked)
    assert check(loaded, rule_of=rule_of).figures == check(history, rule_of=rule_of).figures


def test_a_folder_without_files_is_an_empty_history(tmp_path: Path) -> None:
    assert load_history(tmp_path) == History(tape=[], facts=[], readings=[], asked=[], torn=[])


def test_the_torn_last_line_of_a_killed_daemon_is_skipped(tmp_path: Path) -> None:
    save(small().history(), tmp_path)
    [path, *_] = sorted((tmp_path / EVIDENCE).iterdir())
    whole = len(load_history(tmp_path).facts)
    path.write_bytes(path.read_bytes()[:-10])
    loaded = load_history(tmp_path)
    assert len(loaded.facts) == whole - 1
    assert loaded.torn == []


def test_a_line_that_cannot_be_read_elsewhere_fails_the_check(tmp_path: Path) -> None:
    save(small().history(), tmp_path)
    tape = tmp_path / TAPE
    lines = tape.read_bytes().splitlines(keepends=True)
    tape.write_bytes(b"".join([*lines[:3], b'{"type": "ent\n', *lines[3:]]))
    [violation] = check(load_history(tmp_path), rule_of=rule_of).violations
    assert violation.invariant is Invariant.RECORD
    assert "tape.jsonl, line 4" in violation.text


async def test_the_daemons_own_evidence_is_read(tmp_path: Path) -> None:
    kept = open_evidence(tmp_path / EVIDENCE, "host:1:a", wall_ms=lambda: 5, mono_ms=lambda: 7.5)
    kept.granted(parse_label(BTC), 9, 9, None)
    kept.accepted(parse_label(BTC), 9, 10, 12, "99")
    kept.refused(parse_label(BTC), 9, 12, "FENCED", None)
    kept.lost(parse_label(BTC), 9, "taken")
    kept.released(parse_label(BTC), 9)
    kept.close()
    facts = load_history(tmp_path).facts
    assert [fact.fact for fact in facts] == ["granted", "accepted", "refused", "lost", "released"]
    assert {(fact.pair, fact.token, fact.mono_ms) for fact in facts} == {(BTC, 9, 7.5)}
    assert (facts[1].n_first, facts[1].n_last, facts[1].sequence) == (10, 12, "99")


def test_a_fact_of_a_later_version_with_one_more_field_is_read(tmp_path: Path) -> None:
    (tmp_path / EVIDENCE).mkdir()
    fact = {"at": 1, "mono_ms": 2.0, "fact": "granted", "member": "m", "pair": BTC, "token": 3, "colour": "red"}
    (tmp_path / EVIDENCE / "m.jsonl").write_bytes(msgspec.json.encode(fact) + b"\n")
    assert load_history(tmp_path).facts[0].token == 3
