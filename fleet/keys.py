"""Every Redis key, one method a key: type, who writes, who reads, how long it lives.

`{s}` is the two-digit shard tag in braces, so all keys of a pair share a Cluster slot and one script may touch them.
Keys of the whole fleet carry the tag `{fleet}`.
"""

import re
from zlib import crc32

from fleet.pair import Pair

KEY_VERSION = 1
_PERMANENT = re.compile(
    r"(^|:)(tail:\{\d\d\}|deltas:\{\d\d\}|trades:\{\d\d\}|\{fleet\}:(layout|term|lanes|counters:.+))$"
)


def is_permanent(key: str) -> bool:
    """Whether the key may live without an expiry; any other key of ours without one is a leak."""
    return _PERMANENT.search(key) is not None


class Keys:
    """Key names of one fleet: a namespace (prefix, may be empty) and a number of shards."""

    def __init__(self, namespace: str = "", shards: int = 16) -> None:
        self.shards = shards
        self.prefix = f"{namespace}:" if namespace else ""

    def shard(self, pair: Pair) -> int:
        """Stable hash of the pair's label modulo the number of shards."""
        return crc32(pair.label.encode()) % self.shards

    def _of_pair(self, name: str, pair: Pair) -> str:
        return f"{self.prefix}{name}:{pair.label}:{{{self.shard(pair):02d}}}"

    def book(self, pair: Pair) -> str:
        """Hash: status, best prices, epoch, n, id …; written by publish/touch/stale, read by all; expires (book TTL)."""
        return self._of_pair("book", pair)

    def bids(self, pair: Pair) -> str:
        """Hash price → amount, decimal text; written by publish; expires with the book."""
        return self.book(pair) + ":bids"

    def asks(self, pair: Pair) -> str:
        """Hash price → amount, decimal text; written by publish; expires with the book."""
        return self.book(pair) + ":asks"

    def lease(self, pair: Pair) -> str:
        """String `token holder`; written by acquire/renew/release; expires (lease time)."""
        return self._of_pair("lease", pair)

    def offer(self, pair: Pair) -> str:
        """String: the daemon the holder consents to hand over to; expires."""
        return self._of_pair("offer", pair)

    def tail(self, shard: int) -> str:
        """Hash, field label → `token n sequence id`: fence and published point; permanent."""
        return f"{self.prefix}tail:{{{shard:02d}}}"

    def deltas(self, shard: int) -> str:
        """Stream, an entry an event (k t n e d); written by publish, cut by trim; permanent."""
        return f"{self.prefix}deltas:{{{shard:02d}}}"

    def trades(self, shard: int) -> str:
        """Stream of public trades, same form; permanent."""
        return f"{self.prefix}trades:{{{shard:02d}}}"

    def _of_fleet(self, name: str) -> str:
        return f"{self.prefix}{{fleet}}:{name}"

    def layout(self) -> str:
        """Hash: shards, key version, wire version; written by the first daemon, compared by all; permanent."""
        return self._of_fleet("layout")

    def leader(self) -> str:
        """String `term member`; written by elect; expires (lease time)."""
        return self._of_fleet("leader")

    def term(self) -> str:
        """Integer that only grows; written by elect; permanent."""
        return self._of_fleet("term")

    def members(self) -> str:
        """Sorted set member → last beat ms (server clock); written by beat; expires with the last member."""
        return self._of_fleet("members")

    def member(self, member: str) -> str:
        """String, JSON record of one daemon; written by beat; expires."""
        return self._of_fleet(f"member:{member}")

    def commands(self, member: str) -> str:
        """List of commands for a daemon; pushed by operators, popped by beat; expires."""
        return self._of_fleet(f"commands:{member}")

    def plan(self) -> str:
        """Hash, head of the plan: term, revision, written_ms, counts, and the revision of each member's orders; written by
        write_plan; expires when no leader has refreshed it."""
        return self._of_fleet("plan")

    def orders(self, member: str) -> str:
        """String, JSON: the orders of the plan that concern one daemon; written by write_plan; expires with the head."""
        return self._of_fleet(f"plan:{member}")

    def unplaced(self) -> str:
        """Hash label → why the plan has no place for the pair; written by write_plan; expires with the head."""
        return self._of_fleet("unplaced")

    def moves(self) -> str:
        """List of the last moves of the plan, JSON, newest first; written by write_plan; expires with the head."""
        return self._of_fleet("moves")

    def lanes(self) -> str:
        """Hash, field lane → `token n - 0-0`: the fence cells of monitor lanes; permanent."""
        return self._of_fleet("lanes")

    def lane_lease(self, lane: int) -> str:
        """String `token holder` of one monitor lane; expires (lease time)."""
        return self._of_fleet(f"lease:lane:{lane}")

    def budget(self, egress: str, name: str) -> str:
        """Hash: tokens and time of one venue budget behind one egress address; expires when full again."""
        return self._of_fleet(f"budget:{egress}:{name}")

    def pair_state(self, member: str) -> str:
        """String, JSON: what a daemon knows of its pairs (rate, gaps, reasons); written by beat; expires."""
        return self._of_fleet(f"pairs:{member}")

    def samples(self, venue: str, market: str) -> str:
        """List of the newest undecodable frames of a venue's market, cut to a few; expires."""
        return self._of_fleet(f"samples:{venue}:{market}")
