"""PURE. How large a chaos run is and how long it takes."""

import msgspec

from fleet.errors import ConfigError
from ops.simulator.registry import VENUE_MARKETS

Place = tuple[str, str]

# both kinds of sequences (comparable across sockets, or not), both ways to a first book, text, gzip and protobuf
FEW_MARKETS: tuple[Place, ...] = (
    ("binance", "spot"), ("okx", "futures"), ("kucoin", "spot"), ("mexc", "spot"), ("bybit", "spot"), ("htx", "futures"),
)  # fmt: skip
OLDER = {"kucoin_classic"}  # the sockets of before of a venue that is here with its new ones
ALL_MARKETS: tuple[Place, ...] = tuple(place for place in VENUE_MARKETS if place[0] not in OLDER)


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers that every scenario goes by.

    pairs       spread evenly over `markets`
    rate        mean number of book changes a second and pair (the simulator's word; each pair has its own around it)
    calm_s      how long the fleet is left alone before and behind a fault, so that what is wrong can show
    again       how often a fault comes that comes again and again
    soak_s      length of the scenario that only looks for growth
    away_s      how long a server (SQL) is away
    start_s     most until all pairs are live
    settle_s    most until all is well again behind a fault
    most_s      most for a whole scenario
    keep        the scratch folder of a run stays: logs, evidence, the recorded streams
    """

    name: str
    daemons: int
    pairs: int
    markets: tuple[Place, ...]
    lease_ms: int
    rate: float
    shards: int
    calm_s: float
    again: int
    soak_s: float
    away_s: float
    start_s: float
    settle_s: float
    most_s: float
    keep: bool = False


SMALL = Scale(
    name="small", daemons=3, pairs=18, markets=FEW_MARKETS, lease_ms=1500, rate=4.0, shards=4, calm_s=1.0, again=2,
    soak_s=60.0, away_s=3.0, start_s=40.0, settle_s=25.0, most_s=120.0,
)  # fmt: skip
FULL = Scale(
    name="full", daemons=3, pairs=300, markets=ALL_MARKETS, lease_ms=4000, rate=5.0, shards=16, calm_s=5.0, again=24,
    soak_s=3600.0, away_s=60.0, start_s=180.0, settle_s=90.0, most_s=900.0,
)  # fmt: skip
SCALES = {scale.name: scale for scale in (SMALL, FULL)}


def scale_named(name: str) -> Scale:
    """Raises ConfigError for a name that there is not."""
    if name not in SCALES:
        raise ConfigError(f"scale {name[:40]!r}: expected one of {', '.join(SCALES)}")
    return SCALES[name]
