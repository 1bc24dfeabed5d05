"""PURE. What a chaos run found: figures beside their limits, and what ought never to happen and did."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class Result(msgspec.Struct, kw_only=True):
    """One run of one scenario.

    figures      what was measured, units in the names; the smaller the better
    limits       the most that a figure of the same name may be (research: twenty faults, and their numbers)
    violations   what must never be, whatever the times: each one a sentence with its evidence
    notes        what a reader should know that is neither
    last_words   the ends of the daemons' logs, where something was wrong
    folder       the scratch folder of the run, where it was kept
    """

    name: str
    scale: str
    seed: int
    figures: dict[str, float] = {}
    limits: dict[str, float] = {}
    violations: list[str] = []
    notes: list[str] = []
    last_words: str = ""
    folder: str = ""

    def measure(self, name: str, value: float, limit: float | None = None) -> None:
        """Note a figure, to a tenth, as its limit; the worst one where it is measured several times."""
        worst = max(value, self.figures.get(name, value))
        self.figures[name] = round(worst, 1)
        if limit is not None:
            self.limits[name] = round(limit, 1)

    @property
    def exceeded(self) -> list[str]:
        """Figures beyond their limits, and limits of what was never measured, in words."""
        found = []
        for name, limit in self.limits.items():
            value = self.figures.get(name)
            if value is None:
                found.append(f"{name} was not measured (limit {limit:g})")
            elif value > limit:
                found.append(f"{name} = {value:g}, limit {limit:g}")
        return found

    @property
    def passed(self) -> bool:
        """Nothing forbidden happened, and every figure is within its limit."""
        return not self.violations and not self.exceeded

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        return {**shown, "passed": self.passed, "exceeded": self.exceeded}


def worst(results: Sequence[Result]) -> Mapping[str, float]:
    """The worst value of every figure over all runs."""
    found: dict[str, float] = {}
    for result in results:
        for name, value in result.figures.items():
            found[name] = max(value, found.get(name, value))
    return found


def report(results: Sequence[Result]) -> dict[str, Any]:
    """All runs of one scenario as plain data: the worst values beside their limits. Raises ValueError for no run at all."""
    if not results:
        raise ValueError("no run, nothing to report")
    first = results[0]
    limits: dict[str, float] = {}
    for result in results:
        limits |= result.limits
    return {
        "name": first.name,
        "scale": first.scale,
        "runs": len(results),
        "seeds": [result.seed for result in results],
        "passed": all(result.passed for result in results),
        "worst": dict(worst(results)),
        "limits": limits,
        "violations": [f"seed {one.seed}: {text}" for one in results for text in [*one.violations, *one.exceeded]],
        "results": [result.as_json() for result in results],
    }
