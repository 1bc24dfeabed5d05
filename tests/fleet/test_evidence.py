"""fleet/evidence.py: what a file says of a daemon's grants and writes, and what is lost when it cannot say it."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fleet import evidence
from fleet.cell import Cell
from fleet.errors import ConfigError
from fleet.evidence import NO_EVIDENCE, Evidence, open_evidence
from fleet.pair import Pair
from tests.support.waiting import wait_until

PAIR = Pair("binance", "spot", "BTC/USDT")
ME = "host:1:a"


def facts(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / f"{ME}.jsonl").read_text().splitlines() if line]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Evidence]:
    times = count(1)
    opened = open_evidence(tmp_path, ME, wall_ms=lambda: 1_000, mono_ms=lambda: float(next(times)))
    yield opened
    opened.close()


async def test_every_fact_names_its_pair_line_and_token(kept: Evidence, tmp_path: Path) -> None:
    kept.granted(PAIR, 7, 5, Cell(3, 5, "99", "1-1"))
    kept.accepted(PAIR, 7, 6, 8, "102")
    kept.accepted(PAIR, 7, 1, 1, "-", trades=True)
    kept.refused(PAIR, 7, 8, "FENCED", None)
    kept.lost(PAIR, 7, "taken")
    kept.released(PAIR, 7)

    common = {"at": 1_000, "member": ME, "pair": PAIR.label, "line": "book", "token": 7}
    assert facts(tmp_path) == [
        common | {"mono_ms": 1.0, "fact": "granted", "n": 5, "cell_before": "3 5 99 1-1"},
        common | {"mono_ms": 2.0, "fact": "accepted", "n_first": 6, "n_last": 8, "sequence": "102"},
        common | {"mono_ms": 3.0, "fact": "accepted", "line": "trades", "n_first": 1, "n_last": 1, "sequence": "-"},
        common | {"mono_ms": 4.0, "fact": "refused", "n": 8, "verdict": "FENCED", "cell": None},
        common | {"mono_ms": 5.0, "fact": "lost", "reason": "taken"},
        common | {"mono_ms": 6.0, "fact": "released"},
    ]


async def test_a_grant_is_on_file_before_the_call_returns(kept: Evidence, tmp_path: Path) -> None:
    kept.granted(PAIR, 7, 7, None)
    assert [fact["fact"] for fact in facts(tmp_path)] == ["granted"]


async def test_accepted_writes_gather_and_are_written_soon(kept: Evidence, tmp_path: Path) -> None:
    kept.accepted(PAIR, 7, 1, 1, "5")
    kept.accepted(PAIR, 7, 2, 4, "8")
    assert facts(tmp_path) == []
    await wait_until(lambda: len(facts(tmp_path)) == 2, description="both facts are on file", timeout_s=5)


async def test_a_call_that_appended_nothing_is_no_fact(kept: Evidence, tmp_path: Path) -> None:
    kept.accepted(PAIR, 7, 5, 4, "8")
    kept.flush()
    assert facts(tmp_path) == []


async def test_a_burst_is_written_before_the_time_is_up(
    kept: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "KEPT_MOST", 3)
    for n in range(1, 4):
        kept.accepted(PAIR, 7, n, n, "5")
    assert len(facts(tmp_path)) == 3


async def test_a_second_run_appends(tmp_path: Path) -> None:
    for token in (1, 2):
        opened = open_evidence(tmp_path, ME, wall_ms=lambda: 1, mono_ms=lambda: 1.0)
        opened.granted(PAIR, token, token, None)
        opened.close()
    assert [fact["token"] for fact in facts(tmp_path)] == [1, 2]


async def test_what_could_not_be_written_is_counted_and_declared_when_there_is_room_again(
    kept: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        for token in (1, 2):
            kept.granted(PAIR, token, 1, None)
    assert kept.dropped == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"evidence of {ME} has a hole from here on: No space left on device"
    ]

    kept.granted(PAIR, 3, 1, None)
    assert kept.dropped == 0
    assert [(fact["fact"], fact.get("facts"), fact.get("token")) for fact in facts(tmp_path)] == [
        ("dropped", 2, None),
        ("granted", None, 3),
    ]


async def test_a_short_write_is_completed(kept: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda file, data: write(file, bytes(data[:10])))
        kept.granted(PAIR, 7, 1, None)
    assert facts(tmp_path)[0]["token"] == 7


async def test_a_killed_process_loses_no_grant(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from fleet.evidence import open_evidence\n"
        "from fleet.pair import Pair\n"
        "async def main():\n"
        "    kept = open_evidence(pathlib.Path(sys.argv[1]), sys.argv[2], wall_ms=lambda: 1, mono_ms=lambda: 1.0)\n"
        "    kept.granted(Pair('okx', 'spot', 'A/B'), 7, 7, None)\n"
        "    print('granted', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), ME, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"granted\n"
    child.send_signal(signal.SIGKILL)
    await child.wait()
    assert [fact["token"] for fact in facts(tmp_path)] == [7]


async def test_the_file_is_for_its_owner_only(kept: Evidence, tmp_path: Path) -> None:
    assert (tmp_path / f"{ME}.jsonl").stat().st_mode & 0o077 == 0


async def test_facts_after_closing_are_ignored(kept: Evidence, tmp_path: Path) -> None:
    kept.close()
    kept.granted(PAIR, 7, 1, None)
    assert facts(tmp_path) == []


def test_without_a_directory_nothing_is_kept_and_no_loop_is_needed() -> None:
    none = open_evidence(None, ME, wall_ms=lambda: 1, mono_ms=lambda: 1.0)
    assert none is NO_EVIDENCE
    none.granted(PAIR, 7, 1, None)
    none.accepted(PAIR, 7, 1, 2, "-")
    none.refused(PAIR, 7, 1, "FENCED", None)
    none.lost(PAIR, 7, "taken")
    none.released(PAIR, 7)
    none.flush()
    none.close()


def test_a_directory_that_cannot_be_made_ends_the_start_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"FLEET_EVIDENCE_DIR=.*name a directory"):
        open_evidence(tmp_path / "file" / "below", ME, wall_ms=lambda: 1, mono_ms=lambda: 1.0)
