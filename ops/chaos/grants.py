"""PURE. The tokens of a history (invariant I1): who was granted what, and whether every write was under such a grant.

A grant is a fact of the member that got it, on file before its first write. Tokens of one line must grow, each must go to
one member, and each grant must have found the token before it in the cell: two grants that found the same token, on one
server, were both given the right to write.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ops.chaos.history import Entry, Fact, Invariant, Line, Violation

ANSWERED_MS = 2_000.0  # a write from before the tape began may be acknowledged so much later


class Grants:
    """The grants of all lines, by token. `started_ms`: from then on everything is on the tape."""

    def __init__(self, facts: Iterable[Fact], started_ms: float) -> None:
        self._started_ms = started_ms
        self.by_token: dict[Line, dict[int, list[Fact]]] = defaultdict(lambda: defaultdict(list))
        self.count = 0
        for fact in facts:
            if fact.fact == "granted":
                self.by_token[fact.of][fact.token].append(fact)
                self.count += 1

    def holders(self, line: Line, token: int) -> set[str]:
        """The members that were granted this token; more than one is a violation."""
        return {fact.member for fact in self.by_token[line].get(token, ())} if line in self.by_token else set()

    def fresh_start(self, line: Line, n: int, after_token: int, epoch: int) -> Fact | None:
        """The grant that found no cell and after which the line's numbers begin at `n`, if there is one that
        came after `after_token` and not after `epoch`."""
        for token, grants in self.by_token.get(line, {}).items():
            if after_token < token <= epoch:
                for fact in grants:
                    if fact.cell_before is None and fact.n + 1 == n:
                        return fact
        return None

    def first_numbers(self, line: Line, epoch: int) -> set[int]:
        """Where the line's first entry may stand, if that is under `epoch`; empty where it may have begun before the tape.

        More than one n: grants after which nothing was written, and a flush behind them.
        """
        tokens = self.by_token.get(line)
        if not tokens:
            return set()
        first = tokens[min(tokens)][0]
        if first.cell_before is not None or first.mono_ms < self._started_ms:
            return set()
        early = (grants[0] for token, grants in tokens.items() if token <= epoch)
        return {fact.n + 1 for fact in early if fact.cell_before is None}

    def violations(self, *, servers: int) -> Iterable[Violation]:
        """What is wrong with the grants themselves. `servers`: how many run ids there were."""
        for line, tokens in self.by_token.items():
            yield from _shared(line, tokens)
            yield from _falling(line, tokens)
            if servers <= 1:
                yield from _twice_after(line, tokens)


def _shared(line: Line, tokens: dict[int, list[Fact]]) -> Iterable[Violation]:
    for token, grants in tokens.items():
        if len(grants) > 1:
            who = " and ".join(sorted({fact.member for fact in grants}))
            text = f"token {token} was granted {len(grants)} times: to {who}"
            yield Violation(Invariant.EPOCHS, str(line), text, [str(fact) for fact in grants])


def _falling(line: Line, tokens: dict[int, list[Fact]]) -> Iterable[Violation]:
    by_member: dict[str, list[Fact]] = defaultdict(list)
    for grants in tokens.values():
        for fact in grants:
            before = _token(fact.cell_before)
            if before is not None and before >= fact.token:
                text = f"token {fact.token} was granted over the cell's {before}: tokens must grow"
                yield Violation(Invariant.EPOCHS, str(line), text, [str(fact)])
            by_member[fact.member].append(fact)
    for mine in by_member.values():
        mine.sort(key=lambda fact: fact.mono_ms)
        for earlier, later in itertools.pairwise(mine):
            if later.token < earlier.token:
                text = f"{later.member} was granted token {later.token} after {earlier.token}: tokens must grow"
                yield Violation(Invariant.EPOCHS, str(line), text, [str(earlier), str(later)])


def _twice_after(line: Line, tokens: dict[int, list[Fact]]) -> Iterable[Violation]:
    after: dict[int, Fact] = {}
    for grants in tokens.values():
        fact = grants[0]
        before = _token(fact.cell_before)
        if before is None:
            continue
        other = after.setdefault(before, fact)
        if other is not fact:
            text = f"tokens {other.token} and {fact.token} were both granted over {before}"
            yield Violation(Invariant.EPOCHS, str(line), text, [str(other), str(fact)])


def _token(cell: str | None) -> int | None:
    return None if cell is None else int(cell.split(" ", 1)[0])


class Written:
    """Every accepted entry by line, epoch and n, beside what the daemons say of their writes."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_epoch: dict[tuple[Line, int], dict[int, Entry]] = defaultdict(dict)
        self._lowest: dict[Line, int] = {}
        for entry in entries:
            line = entry.of
            self._by_epoch[line, entry.epoch].setdefault(entry.n, entry)
            self._lowest.setdefault(line, entry.n)

    def find(self, line: Line, epoch: int, n: int) -> Entry | None:
        """The entry, None if there is none on the tape."""
        return self._by_epoch.get((line, epoch), {}).get(n)

    def first_recorded(self, line: Line) -> int | None:
        """The n of the line's first entry on the tape."""
        return self._lowest.get(line)


def judge_accepted(
    facts: Sequence[Fact], grants: Grants, written: Written, *, from_ms: float, until_ms: float
) -> "Acknowledged":
    """Hold what daemons say Redis took against grants and tape. The tape is complete from `from_ms` to `until_ms`."""
    found = Acknowledged()
    taken: dict[tuple[Line, int], list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.fact != "accepted":
            continue
        line = fact.of
        found.count += fact.n_last - fact.n_first + 1
        if fact.member not in grants.holders(line, fact.token):
            who = ", ".join(sorted(grants.holders(line, fact.token))) or "nobody"
            text = f"{fact.member} wrote under token {fact.token}, which was granted to {who}"
            found.violations.append(Violation(Invariant.EPOCHS, str(line), text, [str(fact)]))
        taken[line, fact.token].append(fact)
        begun_before = not grants.first_numbers(line, fact.token)
        first = written.first_recorded(line) if begun_before else 0
        if fact.mono_ms > until_ms or (first is None and fact.mono_ms < from_ms + ANSWERED_MS):
            continue
        numbers = range(max(fact.n_first, first or 0), fact.n_last + 1)
        gone = [n for n in numbers if not written.find(line, fact.token, n)]
        if gone:
            found.missing.append((fact, len(gone)))
    for (line, _), mine in taken.items():
        mine.sort(key=lambda fact: fact.n_first)
        for earlier, later in itertools.pairwise(mine):
            if later.n_first <= earlier.n_last:
                text = f"n={later.n_first} was acknowledged twice under one token"
                shown = [str(earlier), str(later)]
                found.violations.append(Violation(Invariant.SEQUENCES, str(line), text, shown))
    return found


class Acknowledged:
    """`count` events acknowledged; `missing`: facts of which so many entries are not on the tape."""

    def __init__(self) -> None:
        self.count = 0
        self.missing: list[tuple[Fact, int]] = []
        self.violations: list[Violation] = []


def judge_refused(facts: Sequence[Fact], written: Written) -> Iterable[Violation]:
    """A write refused as fenced or ahead must not be on the tape. (BEHIND says itself that it was taken before.)"""
    for fact in facts:
        if fact.fact == "refused" and fact.verdict in ("FENCED", "AHEAD"):
            entry = written.find(fact.of, fact.token, fact.n + 1)
            if entry is not None:
                text = f"a write refused to {fact.member} ({fact.verdict}) is in the stream"
                yield Violation(Invariant.EPOCHS, str(fact.of), text, [str(fact), str(entry)])
