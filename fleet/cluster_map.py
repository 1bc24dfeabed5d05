"""PURE. Which node of a Redis Cluster serves which slot, and which slot a key is in."""

import re
from binascii import crc_hqx
from collections.abc import Iterable, Sequence
from typing import Any

from fleet.redis_url import HostPort

SLOTS = 16384
_TAG = re.compile(rb"\{([^}]+)\}")


def slot_of(key: str | bytes) -> int:
    """CRC16 of the first {tag}, or of the whole key, modulo 16384 (Redis Cluster specification)."""
    name = key.encode() if isinstance(key, str) else key
    # only the first { counts: with nothing before its }, the whole key does
    tag = _TAG.match(name, name.find(b"{")) if b"{" in name else None
    return crc_hqx(tag[1] if tag else name, 0) % SLOTS


class ClusterMap:
    """Who serves what, as one node saw it. Never changed once made."""

    def __init__(self, ranges: Sequence[tuple[int, int, HostPort]], replicas: Iterable[HostPort] = ()) -> None:
        self._owners: list[HostPort | None] = [None] * SLOTS
        for first, last, owner in ranges:
            self._owners[first : last + 1] = [owner] * (last + 1 - first)
        self.primaries = tuple(sorted({owner for _, _, owner in ranges}))
        self.replicas = tuple(sorted(set(replicas)))

    def owner(self, slot: int) -> HostPort | None:
        """The primary of a slot; None where nobody serves it."""
        return self._owners[slot]

    @property
    def uncovered(self) -> int:
        """How many slots nobody serves."""
        return self._owners.count(None)


def parse_slots(answer: Sequence[Any], asked: HostPort) -> ClusterMap:
    """CLUSTER SLOTS: rows of first, last, [host, port, id …], replicas. A node that does not know its own name gives an
    empty one: it is the one we asked. Raises ValueError for what is no such answer."""
    try:
        ranges = [(int(row[0]), int(row[1]), _node(row[2], asked)) for row in answer]
        replicas = [_node(node, asked) for row in answer for node in row[3:]]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no answer of CLUSTER SLOTS: {str(answer)[:100]}") from error
    return ClusterMap(ranges, replicas)


def _node(node: Sequence[Any], asked: HostPort) -> HostPort:
    host = node[0].decode() if isinstance(node[0], bytes) else node[0]
    return HostPort(asked.host if host in {None, "", "?"} else host, int(node[1]))
