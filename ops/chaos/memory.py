"""How much memory processes use, and how fast that grows."""

from collections.abc import Sequence
from pathlib import Path

from fleet.errors import FleetError

_KB = 1024


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB. Raises FleetError where the system does not tell, or the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmRSS:"))
    except (OSError, StopIteration) as error:
        raise FleetError(f"the memory of process {pid} cannot be read from /proc: {error}; Linux is needed") from None
    return int(line.split()[1]) / _KB


def slope_per_hour(samples: Sequence[tuple[float, float]]) -> float:
    """The line of least squares through (seconds, value), in units an hour. Raises ValueError for less than two moments."""
    count = len(samples)
    middle = sum(at for at, _ in samples) / count if count else 0.0
    spread = sum((at - middle) ** 2 for at, _ in samples)
    if spread == 0:
        raise ValueError(f"{count} samples of one moment have no slope")
    mean = sum(value for _, value in samples) / count
    return sum((at - middle) * (value - mean) for at, value in samples) / spread * 3600
