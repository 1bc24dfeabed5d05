"""PURE. A book as people look at it: levels best first, spread, ages, and a ladder with bars of the depth."""

from collections.abc import Mapping
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from books.loaded import LoadedBook
from ops import shown

Level = tuple[str, str]

_EIGHTHS = " ▏▎▍▌▋▊▉"
_GAPS = 6  # columns between and behind the six columns of a ladder
_NARROW = 130  # columns; below it ages and numbers stand on two lines


def bids_best_first(levels: Mapping[str, str], count: int | None = None) -> list[Level]:
    """Highest price first; all when `count` is None."""
    return sorted(levels.items(), key=lambda level: Decimal(level[0]), reverse=True)[:count]


def asks_best_first(levels: Mapping[str, str], count: int | None = None) -> list[Level]:
    """Lowest price first; all when `count` is None."""
    return sorted(levels.items(), key=lambda level: Decimal(level[0]))[:count]


def spread_text(bid: str, ask: str) -> str:
    """Spread in quote units and in basis points of the mid, and the mid."""
    low, high = Decimal(bid), Decimal(ask)
    mid = (low + high) / 2
    basis = f" ({(high - low) / mid * 10_000:.2f} bps)" if mid else ""
    return f"spread {high - low:f}{basis}   mid {mid:f}"


def aligned(texts: list[str]) -> list[str]:
    """The same numbers with as many decimals as the longest has, so that their points stand in one column."""
    places = max((len(text.partition(".")[2]) for text in texts), default=0)
    return [f"{Decimal(text):.{places}f}" for text in texts]


def bar(share: float, width: int, *, from_right: bool) -> str:
    """A bar of `share` (0 to 1) of `width` columns; a bar from the right has no eighths (there are no such characters)."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    if from_right:
        full, half = divmod(round(eighths / 4), 2)
        return (("▐" if half else "") + "█" * full).rjust(width)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def heading(book: LoadedBook, width: int) -> RenderableType:
    """Who, how fresh, which numbers: two lines, three on a narrow screen."""
    title = Text(no_wrap=True, overflow="ellipsis")
    title.append(f"{book.pair.venue} {book.pair.market} {book.pair.pair}", "bold")
    title.append("  ")
    title.append(book.status, shown.status_style(book.status))
    if book.status == "missing":
        return title
    title.append(f"   {len(book.bids)} bids, {len(book.asks)} asks")
    if book.depth:
        title.append(f"   depth {book.depth}")
    venue = f"{_since(book, book.venue_ms)} ago" if book.venue_ms else "says no time"
    ages = (
        f"age {shown.age(book.age_ms)}   published {_since(book, book.published_ms)} ago   "
        f"received {_since(book, book.received_us // 1000)} ago   venue {venue}"
    )
    numbers = f"sequence {'-' if book.sequence is None else book.sequence}   n {book.n}   epoch {book.epoch}"
    numbers += f"   owner {shown.member(book.owner)}"
    lines = [ages, numbers] if width < _NARROW else [f"{ages}   {numbers}"]
    return Group(title, *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines))


def _since(book: LoadedBook, ms: int | None) -> str:
    return shown.age(max(0, book.now_ms - ms)) if ms else "-"


def ladder(book: LoadedBook, rows: int, width: int) -> RenderableType:
    """Spread line, column heads and at most `rows` levels a side. The bars show the depth summed up from the best price."""
    bids, asks = bids_best_first(book.bids, rows), asks_best_first(book.asks, rows)
    line = Text(style="bold", no_wrap=True)
    line.append(spread_text(bids[0][0], asks[0][0]) if bids and asks else "one side of the book is empty")
    return Group(line, _levels(bids, asks, width))


def _levels(bids: list[Level], asks: list[Level], width: int) -> Table:
    prices = aligned([price for price, _ in bids + asks])
    amounts = aligned([amount for _, amount in bids + asks])
    sums = _summed(bids) + _summed(asks)
    most = max(sums, default=0.0) or 1.0
    price_width = max((len(text) for text in prices), default=0)
    amount_width = max(len("bid amount"), *(len(text) for text in amounts)) if amounts else 0
    bar_width = max(4, (width - 2 * (price_width + amount_width) - _GAPS) // 2)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for name, column_width in (("depth", bar_width), ("bid amount", amount_width), ("bid", price_width)):
        table.add_column(name, justify="right", no_wrap=True, width=column_width)
    table.add_column("ask", justify="right", no_wrap=True, width=price_width)
    table.add_column("ask amount", justify="right", no_wrap=True, width=amount_width)
    table.add_column("depth", no_wrap=True, width=bar_width)
    for i in range(max(len(bids), len(asks))):
        left = right = ["", "", ""]
        if i < len(bids):
            left = [bar(sums[i] / most, bar_width, from_right=True), amounts[i], prices[i]]
        if i < len(asks):
            j = len(bids) + i
            right = [prices[j], amounts[j], bar(sums[j] / most, bar_width, from_right=False)]
        table.add_row(
            Text(left[0], "green"),
            left[1],
            Text(left[2], "bold green" if i == 0 else "green"),
            Text(right[0], "bold red" if i == 0 else "red"),
            right[1],
            Text(right[2], "red"),
        )
    return table


def _summed(levels: list[Level]) -> list[float]:
    total, sums = 0.0, []
    for _, amount in levels:
        total += float(amount)
        sums.append(total)
    return sums
