"""A fleet without daemons: what two of them would have written to Redis, written through the real scripts."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from random import Random
from typing import Any

import msgspec
import redis.asyncio

from books.events import Delta, Event, Reset, ResetReason, Snapshot, SnapshotReason
from books.wire import WIRE_VERSION, encode
from fleet import clock, scripts
from fleet.heartbeat import MemberRecord, make_identity
from fleet.keys import Keys
from fleet.layout import join_layout
from fleet.ordered_cluster import Ordered
from fleet.pair import Pair
from fleet.scripts import Granted, PublishLine, Verdict, Word
from tests.support.any_redis import connected

LEASE_MS = 60_000  # longer than a test: nobody renews here
BOOK_TTL_MS = 60_000
BTC = Pair("binance", "spot", "BTC/USDT")
ETH = Pair("okx", "futures", "ETH/USDT")
BIDS = {"64999.9": "1.5", "65000": "0.25", "64000": "10"}
ASKS = {"65000.1": "0.5", "65010": "2", "70000.55": "0.001"}


class SmallFleet:
    """`async with small_fleet(url) as fleet:` then `await fleet.own(pair)` and `await fleet.publish(pair, event)`."""

    def __init__(self, client: redis.asyncio.Redis, connection: Ordered, keys: Keys) -> None:
        self.client = client
        self.keys = keys
        self._connection = connection
        self._lines: dict[Pair, tuple[int, int, str]] = {}
        self.members = [make_identity(f"host-{i}", 1000 + i, Random(i)) for i in (1, 2)]

    async def own(self, pair: Pair, holder: str | None = None, lease_ms: int = LEASE_MS) -> int:
        """Acquire the pair for a member; its token."""
        owner = holder or self.members[0]
        granted = await scripts.acquire(
            self.client,
            tail=self.keys.tail(self.keys.shard(pair)),
            lease=self.keys.lease(pair),
            offer=self.keys.offer(pair),
            holder=owner,
            ttl_ms=lease_ms,
            floor=0,
            fields=[pair.label],
        )
        assert isinstance(granted, Granted)
        self._lines[pair] = granted.token, granted.n[0], owner
        return granted.token

    async def publish(self, pair: Pair, *events: Event, fields: Sequence[str] = ()) -> int:
        """Append events of a pair that is owned; the n of the last."""
        token, n, owner = self._lines[pair]
        entries: list[str | bytes] = []
        status, sequence = "live", "-"
        for event in events:
            kind, payload = encode(event)
            entries += [kind.value, payload]
            if isinstance(event, Reset):
                status, sequence = "resync", "-"
            elif isinstance(event, Snapshot | Delta):
                sequence = str(event.sequence)
        starts = isinstance(events[0], Snapshot | Reset)
        line = PublishLine(
            pair.label, pair.label, token, n, entries, sequence, book=pair, based_on=None if starts else n,
            fields=["status", status, "owner", owner, "depth", "full", "received_us", str(events[-1].received_us),
                    "venue_ms", str(events[-1].venue_ms or ""), *fields],
        )  # fmt: skip
        verdicts = await scripts.publish(self._connection, self.keys, self.keys.shard(pair), BOOK_TTL_MS, [line])
        assert verdicts == [Verdict(Word.OK)]
        self._lines[pair] = token, n + len(events), owner
        return n + len(events)

    async def make_live(
        self, pair: Pair, bids: Mapping[str, str] = BIDS, asks: Mapping[str, str] = ASKS, holder: str | None = None
    ) -> int:
        """Own a pair and publish its first snapshot, sequence 7; its token."""
        token = await self.own(pair, holder)
        best = ["bid", max(bids, key=float), "ask", min(asks, key=float)]
        await self.publish(pair, snapshot(pair, bids, asks, 7), fields=best)
        return token

    async def beat(self, member: str, notes: Mapping[str, Any] | None = None, **record: Any) -> None:
        """A member's heartbeat; `notes`: label → what it says of the pair."""
        host, pid, _ = member.split(":")
        fields = {"roles": ("feed", "monitor"), "capacity": 500, "version": "0.1.0", **record}
        await scripts.beat(
            self.client,
            self.keys,
            member=member,
            record=msgspec.json.encode(MemberRecord(id=member, host=host, pid=int(pid), **fields)).decode(),
            pair_state=msgspec.json.encode({"pairs": notes or {}}).decode(),
            ttl_ms=LEASE_MS,
        )

    async def lead(self, member: str) -> int:
        """Make a member leader; its term."""
        return (await scripts.elect(self.client, self.keys, member=member, ttl_ms=LEASE_MS)).term

    async def kill_owner(self, pair: Pair) -> None:
        """Let the lease of a pair end now."""
        assert await self.client.delete(self.keys.lease(pair)) == 1

    async def reset(self, pair: Pair) -> None:
        """The feed lost the pair's thread."""
        await self.publish(pair, Reset(pair=pair, received_us=clock.wall_us(), reason=ResetReason.GAP))


def snapshot(pair: Pair, bids: Mapping[str, str], asks: Mapping[str, str], sequence: int) -> Snapshot:
    """A first snapshot of now."""
    return Snapshot(
        pair=pair, received_us=clock.wall_us(), venue_ms=clock.wall_ms(), bids=bids, asks=asks, sequence=sequence,
        reason=SnapshotReason.FIRST,
    )  # fmt: skip


def delta(pair: Pair, bids: Mapping[str, str], asks: Mapping[str, str], sequence: int) -> Delta:
    """A change of now."""
    return Delta(
        pair=pair, received_us=clock.wall_us(), venue_ms=clock.wall_ms(), bids=bids, asks=asks, sequence=sequence
    )


@contextlib.asynccontextmanager
async def small_fleet(url: str, *, namespace: str = "", shards: int = 16) -> AsyncIterator[SmallFleet]:
    """A fleet in the Redis of `url`, its layout written."""
    async with connected(url) as (client, connection):
        keys = Keys(namespace, shards)
        await join_layout(client, keys, WIRE_VERSION)
        yield SmallFleet(client, connection, keys)
