"""Sound histories of a fleet, made without a fleet: what the checker must pass, and what forgeries are made from."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from books.sequence import CONTIGUOUS, SequenceRule
from ops.chaos.history import (
    Asked,
    Entry,
    Fact,
    History,
    Note,
    Reading,
    ReadToEnd,
    Server,
)

BTC, ETH = "binance:spot:BTC/USDT", "okx:futures:ETH/USDT"
MEMBERS = ("host:1:a", "host:2:b", "host:3:c")


class Line:
    """One pair as its owners write it: `grant`, then events; `lose` whatever Redis may lose."""

    def __init__(self, maker: "Maker", label: str) -> None:
        self.maker, self.label = maker, label
        self.token = self.n = 0
        self.cell: str | None = None
        self.owner = MEMBERS[0]
        self.sequence = 1000
        self.live = False

    def grant(self, member: str, *, covered: bool) -> None:
        """Another owner, or the same one anew; not covered: it starts over with a whole book."""
        before = self.cell
        self.token = self.maker.new_token()
        self.owner = member
        if before is None:
            self.n = self.token
        self.cell = f"{self.token} {self.n} {self.sequence} 1-1"
        self.maker.fact(self, "granted", n=self.n, cell_before=before)
        if not covered or before is None or not self.live:
            if before is not None:
                self.reset("takeover")
            self.snapshot("takeover" if before is not None else "first")

    def _append(self, t: str, **fields: Any) -> None:
        self.n += 1
        self.cell = f"{self.token} {self.n} {self.sequence} 1-1"
        self.maker.entry(self, t, **fields)
        self.maker.fact(self, "accepted", n_first=self.n, n_last=self.n, sequence=str(self.sequence))

    def reset(self, reason: str) -> None:
        self.live = False
        self._append("reset", reason=reason)

    def snapshot(self, reason: str, ahead: int = 5) -> None:
        self.sequence += ahead
        self.live = True
        self._append("snapshot", sequence=self.sequence, reason=reason)

    def delta(self, changes: int = 1) -> None:
        first, previous = self.sequence + 1, self.sequence
        self.sequence += changes
        self._append("delta", sequence=self.sequence, first_sequence=first, previous_sequence=previous)

    def mark(self) -> None:
        self._append("mark")

    def refused(self, member: str, token: int, n: int) -> None:
        self.maker.fact(self, "refused", member=member, token=token, n=n, verdict="FENCED", cell=self.cell)


class Maker:
    """Makes a history step by step."""

    def __init__(self) -> None:
        self.tape: list[Note] = [Server("first", 1.0)]
        self.facts: list[Fact] = []
        self.readings: list[Reading] = []
        self.asked: list[Asked] = []
        self.now_ms = 1.0
        self._token = 1_763_800_000_000

    def tick(self, ms: float = 10.0) -> float:
        self.now_ms += ms
        return self.now_ms

    def new_token(self) -> int:
        self._token += 50_000
        return self._token

    def fact(self, line: Line, fact: str, **fields: Any) -> None:
        common = {"member": line.owner, "token": line.token, "pair": line.label}
        self.facts.append(Fact(at=0, mono_ms=self.tick(0.1), fact=fact, **{**common, **fields}))

    def entry(self, line: Line, t: str, **fields: Any) -> None:
        self.tape.append(
            Entry(
                label=line.label, line="book", id=f"{len(self.tape)}-0", t=t, n=line.n, epoch=line.token,
                mono_ms=self.tick(), **fields,
            )
        )  # fmt: skip

    def fail_over(self, lines: Sequence[Line], lost: Sequence[int]) -> None:
        """Another server, which never heard of the last `lost` entries of each line; then each is granted anew."""
        self.tape.append(Server(f"server {len(self.tape)}", self.tick()))
        for line, count in zip(lines, lost, strict=True):
            mine = [note for note in self.tape if isinstance(note, Entry) and note.label == line.label]
            since = [one for one in mine if one.epoch == line.token]
            gone = since[len(since) - count :] if 0 < count < len(since) else []
            if gone:
                line.n = gone[0].n - 1
                line.cell = f"{line.token} {line.n} - 1-1"
            line.live = False
            line.grant(line.owner, covered=False)

    def flush(self, lines: Sequence[Line]) -> None:
        """Redis lost everything; the same owners go on."""
        for line in lines:
            line.cell, line.live = None, False
            line.grant(line.owner, covered=False)

    def read(self, line: Line, **fields: Any) -> None:
        common: dict[str, Any] = {
            "status": "live",
            "age_ms": 20.0,
            "n": line.n,
            "epoch": line.token,
            "lease_alive": True,
        }
        self.readings.append(Reading(mono_ms=self.now_ms, label=line.label, **{**common, **fields}))

    def ask(self, at_ms: float, **fields: Any) -> None:
        self.asked.append(Asked(mono_ms=at_ms, at=int(at_ms), venue="binance", market="spot", **fields))

    def history(self) -> History:
        return History(
            tape=[*self.tape, ReadToEnd(self.tick())], facts=self.facts, readings=self.readings, asked=self.asked
        )


def rule_of(_label: str) -> SequenceRule:
    return CONTIGUOUS


def small() -> Maker:
    """Two pairs, two owners each, a gap, a seam, a refused late write, readings and requests."""
    made = Maker()
    lines = [Line(made, BTC), Line(made, ETH)]
    for line in lines:
        line.grant(MEMBERS[0], covered=False)
        line.delta()
        line.delta(3)
        line.mark()
        made.read(line)
    old = (lines[0].token, lines[0].n)
    lines[0].grant(MEMBERS[1], covered=True)
    lines[0].refused(MEMBERS[0], *old)
    lines[0].delta()
    lines[0].snapshot("seam")
    lines[0].delta(2)
    lines[1].reset("gap")
    lines[1].snapshot("resync")
    lines[1].delta()
    made.read(lines[1], status="resync", age_ms=None)
    for second in range(4):
        made.ask(second * 100.0, cost=5.0)
    return made


def random_history(rng: random.Random, steps: int, *, failovers: bool = True) -> History:
    """A longer one, in which everything that may happen does: moves, gaps, seams, flushes, failovers."""
    made = Maker()
    lines = [Line(made, BTC), Line(made, ETH)]
    for line in lines:
        line.grant(rng.choice(MEMBERS), covered=False)
    for _ in range(steps):
        line = rng.choice(lines)
        acts: list[Callable[[], object]] = [
            *[lambda line=line: line.delta(rng.randint(1, 4))] * 6,
            line.mark,
            lambda line=line: line.snapshot("seam", rng.randint(0, 5)),
            lambda line=line: (line.reset("gap"), line.snapshot("resync")),
            lambda line=line: line.grant(rng.choice(MEMBERS), covered=rng.random() < 0.7),
            lambda line=line: made.read(line),
        ]
        if failovers and rng.random() < 0.05:
            made.fail_over(lines, [rng.randint(0, 3) for _ in lines])
        elif rng.random() < 0.05:
            made.flush(lines)
        else:
            rng.choice(acts)()
    return made.history()
