"""PURE. The offline check of a fleet's history: what Redis accepted, what the daemons say, what readers and venues saw.

`check` holds a history against the invariants and names every breach with what proves it; it needs neither the servers
nor the daemons any more. `rule_of` gives the venue's own rule of sequences for a pair's label, None where there is none.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence

from books.sequence import SequenceRule
from ops.chaos.grants import Grants, Written, judge_accepted, judge_refused
from ops.chaos.history import (
    Asked,
    Budget,
    Entry,
    Fact,
    History,
    Invariant,
    Line,
    Overtaken,
    Reading,
    ReadToEnd,
    Remade,
    Report,
    Server,
    Uncovered,
    Violation,
)
from ops.chaos.line_check import LineCheck

AGE_LIMIT_MS = 10_000.0  # the book TTL: beyond it a book is gone by itself
SILENCE_MS = 60_000.0
SHOWN_MOST = 5

RuleOf = Callable[[str], SequenceRule | None]


def check(
    history: History,
    *,
    rule_of: RuleOf,
    age_limit_ms: float = AGE_LIMIT_MS,
    budgets: Sequence[Budget] = (),
    silence_ms: float = SILENCE_MS,
) -> Report:
    """Check everything there is; a part of which nothing was recorded is not checked, and `figures` shows its 0.

    age_limit_ms   a book called live may be so old
    silence_ms     a live pair may be silent for so long before the stretch is listed as uncovered
    """
    from_ms, until_ms = _taped(history)
    grants = Grants(history.facts, from_ms)
    violations: list[Violation] = list(_record(history))
    servers = len({note.run_id for note in history.tape if isinstance(note, Server)})
    violations += grants.violations(servers=servers)
    lines = _walk(history, rule_of, grants if history.facts else None, silence_ms)
    written = Written(note for note in history.tape if isinstance(note, Entry))
    acknowledged = judge_accepted(history.facts, grants, written, from_ms=from_ms, until_ms=until_ms)
    violations += [violation for line in lines.values() for violation in line.violations]
    violations += acknowledged.violations
    violations += judge_refused(history.facts, written)
    may_lose = servers > 1 or any(isinstance(note, Remade | Overtaken) for note in history.tape)
    if not may_lose:
        violations += [_vanished(fact, count) for fact, count in acknowledged.missing]
    violations += _readings(history.readings, age_limit_ms)
    violations += _requests(history.asked, budgets)

    counts: Counter[str] = sum((line.counts for line in lines.values()), Counter())
    uncovered = [stretch for line in lines.values() for stretch in line.uncovered]
    facts = Counter(fact.fact for fact in history.facts)
    figures: dict[str, float] = {
        "lines": len(lines),
        "servers": servers,
        "grants": grants.count,
        "events_acknowledged": acknowledged.count,
        "acknowledged_and_lost": sum(count for _, count in acknowledged.missing),
        "writes_refused": facts["refused"],
        "leases_lost": facts["lost"],
        "leases_released": facts["released"],
        "readings": len(history.readings),
        "readings_live": sum(reading.status == "live" for reading in history.readings),
        "oldest_live_ms": max((r.age_ms or 0.0 for r in history.readings if r.status == "live"), default=0.0),
        "requests": len(history.asked),
        "uncovered_stretches": len(uncovered),
        "longest_uncovered_ms": max((stretch.length_ms for stretch in uncovered), default=0.0),
        **{name: counts[name] for name in _COUNTED},
    }
    return Report(violations=violations, figures=figures, uncovered=_longest_first(uncovered))


_COUNTED = (
    "entries", "deltas", "snapshots", "resets", "seams", "epochs", "restarts", "forks", "lost_in_failover", "unrecorded",
)  # fmt: skip


def _longest_first(uncovered: Iterable[Uncovered]) -> list[Uncovered]:
    return sorted(uncovered, key=lambda stretch: -stretch.length_ms)


def _walk(history: History, rule_of: RuleOf, grants: Grants | None, silence_ms: float) -> dict[Line, LineCheck]:
    lines: dict[Line, LineCheck] = {}
    for note in history.tape:
        match note:
            case Entry():
                line = note.of
                if line not in lines:
                    lines[line] = LineCheck(line, rule_of(line.label), grants, silence_ms)
                lines[line].entry(note)
            case Server():
                for known in lines.values():
                    known.server_changed()
            case Overtaken():
                for known in lines.values():
                    if known.line.label in note.labels:
                        known.overtaken()
            case Remade() | ReadToEnd():
                pass
    return lines


def _taped(history: History) -> tuple[float, float]:
    """From when to when everything Redis accepted is on the tape."""
    begun = (note.mono_ms for note in history.tape if isinstance(note, Server))
    ended = (note.mono_ms for note in history.tape if isinstance(note, ReadToEnd))
    return min(begun, default=float("inf")), max(ended, default=float("-inf"))


def _record(history: History) -> Iterable[Violation]:
    for text in history.torn:
        yield Violation(Invariant.RECORD, "file", text)
    if any(isinstance(note, Entry) for note in history.tape) and not any(
        isinstance(n, ReadToEnd) for n in history.tape
    ):
        text = "the recorder never read to the end: what was acknowledged cannot be held against it"
        yield Violation(Invariant.RECORD, "tape", text)
    for note in history.tape:
        if isinstance(note, Overtaken):
            text = f"trimming took {note.missing} entries after {note.after_id} before they were recorded"
            yield Violation(Invariant.RECORD, note.stream, text)
    for fact in history.facts:
        if fact.fact == "dropped":
            yield Violation(Invariant.RECORD, fact.member, f"{fact.facts} facts could not be written", [str(fact)])


def _vanished(fact: Fact, count: int) -> Violation:
    text = f"{count} acknowledged entries are not in the stream, and no server was lost"
    return Violation(Invariant.SEQUENCES, str(fact.of), text, [str(fact)])


def _readings(readings: Sequence[Reading], age_limit_ms: float) -> Iterable[Violation]:
    for reading in readings:
        if reading.status != "live":
            continue
        if reading.age_ms is None or reading.age_ms > age_limit_ms:
            text = f"a book called live was {reading.age_ms} ms old; the limit is {age_limit_ms:g}"
        elif not reading.lease_alive:
            text = "a book called live had no owner"
        elif reading.wrong:
            text = f"a book called live was wrong: {reading.wrong}"
        else:
            continue
        yield Violation(Invariant.FRESH, reading.label, text, [str(reading)])


def _requests(asked: Sequence[Asked], budgets: Sequence[Budget]) -> Iterable[Violation]:
    by_place: dict[tuple[str, str, str], list[Asked]] = defaultdict(list)
    for one in sorted(asked, key=lambda one: one.mono_ms):
        by_place[one.venue, one.market, one.kind].append(one)
    for budget in budgets:
        mine = by_place[budget.venue, budget.market, budget.kind]
        yield from _over_budget(mine, budget)
        yield from _inside_ban(mine, budget)


def _over_budget(asked: Sequence[Asked], budget: Budget) -> Iterable[Violation]:
    window: deque[Asked] = deque()
    spent = 0.0
    for one in asked:
        while window and _left(window[0], one, budget):
            spent -= window.popleft().cost
        window.append(one)
        spent += one.cost
        if spent > budget.most:
            text = (
                f"{spent:g} of {budget.most:g} spent in {budget.window_ms:g} ms ({len(window)} {budget.kind} requests)"
            )
            shown = [str(each) for each in list(window)[-SHOWN_MOST:]]
            yield Violation(Invariant.BUDGETS, f"{budget.venue}:{budget.market}", text, shown)
            window.clear()  # told once a window
            spent = 0.0


def _left(first: Asked, now: Asked, budget: Budget) -> bool:
    if budget.aligned:
        return first.at // budget.window_ms != now.at // budget.window_ms
    return now.mono_ms - first.mono_ms >= budget.window_ms


def _inside_ban(asked: Sequence[Asked], budget: Budget) -> Iterable[Violation]:
    ban: Asked | None = None
    for one in asked:
        if ban is not None and ban.mono_ms + budget.ban_grace_ms < one.mono_ms < ban.mono_ms + ban.ban_ms:
            after_ms = one.mono_ms - ban.mono_ms
            text = f"asked {after_ms:.0f} ms into a ban of {ban.ban_ms:g} ms"
            yield Violation(Invariant.BUDGETS, f"{budget.venue}:{budget.market}", text, [str(ban), str(one)])
        if one.ban_ms and (ban is None or one.mono_ms + one.ban_ms > ban.mono_ms + ban.ban_ms):
            ban = one
