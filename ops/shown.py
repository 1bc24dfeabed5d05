"""PURE. Numbers, ages and names as people read them, short enough for columns."""

from collections.abc import Mapping
from datetime import UTC, datetime

_STYLES = {
    "live": "green",
    "resync": "yellow",
    "stale": "bold red",
    "missing": "bold red",
    "refused": "magenta",
    "quarantine": "magenta",
    "waiting": "cyan",
}


def status_style(status: str) -> str:
    """Rich style of a pair's status."""
    return _STYLES.get(status, "yellow")


def age(ms: float | None) -> str:
    """Milliseconds as at most five characters: `12ms`, `3.4s`, `59s`, `12m`, `3.1h`, `9d`; `-` for unknown."""
    if ms is None:
        return "-"
    if ms < 1000:
        return f"{ms:.0f}ms"
    seconds = ms / 1000
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 120:
        return f"{seconds:.0f}s"
    if seconds < 7200:
        return f"{seconds / 60:.0f}m"
    if seconds < 360_000:
        return f"{seconds / 3600:.1f}h" if seconds < 35_000 else f"{seconds / 3600:.0f}h"
    return f"{seconds / 86400:.0f}d"


def deaf(member: str, groups: Mapping[str, int]) -> str:
    """Which venues a member does not reach (`venue:market` → ms), in a sentence."""
    told = ", ".join(f"{group.replace(':', ' ')} for {age(ms)}" for group, ms in sorted(groups.items()))
    return f"{member} has not reached {told}"


def rate(per_s: float) -> str:
    """Messages a second as at most five characters: `0`, `0.3`, `47`, `1.2k`, `130k`."""
    if per_s <= 0:
        return "0"
    if per_s < 9.95:
        return f"{per_s:.1f}"
    if per_s < 9999.5:
        return f"{per_s:.0f}"
    return f"{per_s / 1000:.0f}k"


def count(number: int) -> str:
    """A counter as at most five characters: `0`, `9999`, `12k`, `3M`."""
    if number < 10_000:
        return str(number)
    return f"{number // 1000}k" if number < 1_000_000 else f"{number // 1_000_000}M"


def market(name: str) -> str:
    """`futures` is spelled `fut` in columns."""
    return "fut" if name == "futures" else name


def member(identity: str | None) -> str:
    """host:pid of host:pid:nonce; `-` for nobody."""
    return identity.rpartition(":")[0] or identity if identity else "-"


def epoch(token: int | None, digits: int = 13) -> str:
    """A fencing token; cut from the left to `digits` when there is no room (the right end tells two apart)."""
    if token is None:
        return "-"
    text = str(token)
    return text if len(text) <= digits else "…" + text[-(digits - 1) :]


def clock_time(ms: int) -> str:
    """Unix ms as HH:MM:SS UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%H:%M:%S UTC")
