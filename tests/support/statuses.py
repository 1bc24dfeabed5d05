"""Made-up statuses for the views: no Redis, always the same."""

from books.loaded import LoadedBook
from fleet.pair import Pair
from ops.status import FleetStatus, MemberStatus, PairStatus

NOW_MS = 1_763_826_012_345  # 15:40:12 UTC


def member(number: int) -> MemberStatus:
    """host-1:4001:…, host-2:4002:… and so on."""
    return MemberStatus(
        id=f"host-{number}:{4000 + number}:aabbccdd", host=f"host-{number}", pid=4000 + number,
        roles=("feed", "monitor", "trader"), pairs=10 * number, rate=612.3 * number, loop_stall_ms=400.0 * number,
        version="0.1.0", beat_age_ms=300,
    )  # fmt: skip


def pair(venue: str, market: str, name: str, number: int = 1, **changed: object) -> PairStatus:
    """A live pair of member 1 or 2."""
    fields: dict[str, object] = {
        "venue": venue, "market": market, "pair": name, "owner": member(1 + number % 2).id,
        "epoch": 1_763_826_000_000 + number, "status": "live", "sequence": 55_000 + number, "age_ms": 37 * number,
        "rate": 3.7 * number, "gaps": number % 3, "n": 1_763_826_000_000, "depth": "full", "best_bid": "65000.1",
        "best_ask": "65000.2",
    }  # fmt: skip
    return PairStatus(**(fields | changed))


def refused() -> PairStatus:
    """A pair that its venue does not list."""
    return pair(
        "mexc", "spot", "FOO/USDT", owner=None, epoch=None, status="refused", sequence=None, age_ms=None, rate=0.0,
        gaps=0, n=None, depth="", best_bid="", best_ask="", reason="the venue does not list FOO/USDT",
    )  # fmt: skip


def status(members: int = 2, pairs: int = 4) -> FleetStatus:
    """Some members and pairs, one of them refused."""
    names = ["BTC/USDT", "ETH/USDT", "1000PEPE/USDT", "SOL/USDT", "XRP/USDT"]
    listed = [
        pair(("binance", "okx")[i % 2], ("spot", "futures")[i // 2 % 2], names[i // 4 % 5], i) for i in range(pairs)
    ]
    return FleetStatus(
        leader=member(2).id if members > 1 else None, term=7, now_ms=NOW_MS,
        members=tuple(member(i + 1) for i in range(members)), pairs=(*listed, refused()),
    )  # fmt: skip


def book(standing: str = "live") -> LoadedBook:
    """Three levels a side."""
    return LoadedBook(
        pair=Pair("binance", "spot", "BTC/USDT"), status=standing, now_ms=NOW_MS, lease_alive=standing != "stale",
        cell=None, bids={"65000": "1.5", "64999.5": "0.25", "64990": "4"}, asks={"65000.5": "2", "65001": "1", "65010": "3"},
        n=1_763_826_000_123, epoch=1_763_826_000_100, owner=member(1).id, depth="full", sequence=55_000,
        venue_ms=NOW_MS - 45, received_us=(NOW_MS - 35) * 1000, published_ms=NOW_MS - 25, checked_ms=NOW_MS - 15,
    )  # fmt: skip
