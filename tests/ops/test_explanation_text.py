"""What `fleet explain` prints of the members."""

import msgspec
from rich.console import Console

from ops.explanation import Candidate, Explanation
from ops.explanation_text import render

ONE = Candidate(
    id="one:1:a", rank=0, condition="takes pairs", pairs=1, capacity=9, load=2.0, role="owner", state="live", seams=3
)
FOUND = Explanation(
    venue="bybit", market="spot", pair="BTC/USDT", now_ms=0, tasks=(), owner=ONE.id, epoch=7, lease_ms=1000, offer=None,
    offer_ms=None, plan=None, term=None, plan_ms=None, plan_why=None, leader=None, order=(ONE.id,), unplaced=None,
    candidates=(ONE,), status="live", age_ms=10, n=8, moves=(), resets=(),
)  # fmt: skip


def drawn(found: Explanation) -> list[str]:
    console = Console(width=200, color_system=None)
    with console.capture() as captured:
        console.print(render(found))
    return captured.get().splitlines()


def seams(found: Explanation) -> str:
    [head] = [line for line in drawn(found) if line.startswith("MEMBER")]
    [line] = [line for line in drawn(found) if line.startswith(ONE.id) and "planned owner" in line]
    return line[: head.index("SEAMS") + len("SEAMS")].split()[-1]


def test_seams_of_a_member_are_shown():
    assert seams(FOUND) == "3"


def test_a_member_of_an_older_version_says_nothing_of_seams():
    older = msgspec.structs.replace(FOUND, candidates=(msgspec.structs.replace(ONE, seams=None),))
    assert seams(older) == "–"
