"""PURE. The figures of `fleet bench recovery` as tables for people, 80 columns wide."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops import shown
from ops.bench.recovery_figures import MarketFigures, Spread

NOTHING = "–"


def render(runs: int, rate: float, markets: Sequence[MarketFigures]) -> RenderableType:
    """How fast, how locally, and what did not hold."""
    parts: list[RenderableType] = [Text(line, style="dim") for line in _head(runs, rate, markets)]
    parts += [Text(), Text("how fast", style="bold"), _fast(markets), Text(), Text("how locally", style="bold")]
    parts += [_local(markets), Text()]
    wrong = [f"{_name(seen)}: {text}" for seen in markets for text in seen.violations]
    parts += [Text(line, style="bold red") for line in wrong]
    if not wrong:
        parts.append(Text("every invariant held", style="green"))
    return Group(*parts)


def _name(seen: MarketFigures) -> str:
    return f"{seen.venue} {shown.market(seen.market)}"


def _head(runs: int, rate: float, markets: Sequence[MarketFigures]) -> list[str]:
    pairs = max((seen.pairs for seen in markets), default=0)
    lines = [
        f"simulated venues on loopback with their limits, {pairs} pairs a market, ~{rate:g} changes a second and pair",
        f"times in ms, from the loss on; p50/worst of {runs} lost messages, each of another pair",
        "LATER: messages of the pair that passed before the one that showed the loss; 0: the next one did",
    ]
    hurried = [_name(seen) for seen in markets if seen.hurried]
    if hurried:
        lines.append(f"hurried, for they speak every few seconds only: {', '.join(hurried)}")
    return lines


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    table.add_column("MARKET", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _fast(markets: Sequence[MarketFigures]) -> Table:
    table = _table("START", "LATER", "RESET", "LIVE", "MOVED", "SEAMS")
    for seen in markets:
        lost, planned = seen.lost, seen.planned
        without = seen.lost_because or NOTHING
        table.add_row(
            _name(seen),
            _ms(seen.bootstrap_ms),
            f"{NOTHING} ({without})" if seen.lost_because else _spread(lost.messages if lost else None),
            _spread(lost.reset_ms if lost else None),
            _spread(lost.live_ms if lost else None),
            _ms(planned.moved_ms if planned else None),
            str(planned.seams) if planned else NOTHING,
        )
    return table


def _local(markets: Sequence[MarketFigures]) -> Table:
    table = _table("DUPLICATE", "PLANNED", "MISSED", "OTHERS", "EQUAL")
    for seen in markets:
        planned = seen.planned
        table.add_row(
            _name(seen),
            _zero(seen.duplicate_resets),
            _zero(planned.resets if planned else None),
            _zero(planned.missed if planned else None),
            _zero(seen.disturbed),
            _equal(seen),
        )
    return table


def _equal(seen: MarketFigures) -> Text:
    if seen.equal is None:
        return Text(NOTHING)
    return Text("yes") if not seen.unequal else Text(f"{seen.equal} of {seen.pairs}", style="bold red")


def _zero(count: int | None) -> Text:
    return Text(NOTHING if count is None else str(count), style="bold red" if count else "")


def _ms(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}"


def _spread(value: Spread | None) -> str:
    return NOTHING if value is None else f"{value.p50:.0f}/{value.worst:.0f}"
