"""PURE. Where a command's keys stand in it, and one read of streams in several slots as one read a stream."""

from collections.abc import Sequence
from typing import Any

from fleet.cluster_map import slot_of

OF_ALL = {"FLUSHALL", "FLUSHDB", "SCRIPT FLUSH"}  # one answer stands for all
_OF_A_NODE = {"KEYS", "SCAN", "DBSIZE", "RANDOMKEY"}
_KEYLESS = {
    *("PING", "TIME", "INFO", "CONFIG", "SCRIPT", "CLIENT", "COMMAND", "CLUSTER", "ROLE", "ACL", "ECHO", "WAIT"),
    *("LASTSAVE", "SLOWLOG", "LATENCY", "ASKING", "HELLO", "AUTH"),
}
_CONTAINERS = {"XGROUP", "XINFO", "OBJECT", "MEMORY"}  # the key follows a second word
_SCRIPTS = {"EVAL", "EVALSHA", "FCALL"}
_STREAM_READS = {"XREAD", "XREADGROUP"}

Command = tuple[Any, ...]


def first_key(command: Sequence[Any]) -> str | bytes | None:
    """The first key of a command as redis-py builds it; None where it has none. Raises ValueError for a command about all
    keys of a node: on a Cluster it must be asked of each node."""
    name = _word(command[0])
    word, _, second = name.partition(" ")
    if name in _OF_A_NODE:
        raise ValueError(f"{name} is about one node; on a Cluster ask every node for itself")
    if word in _KEYLESS:
        return None
    if word in _SCRIPTS:
        return _key(command[3]) if int(command[2]) else None
    if word in _STREAM_READS:
        return _key(command[_streams(command) + 1])
    position = 2 if word in _CONTAINERS and not second else 1
    return _key(command[position])


def split_read(command: Sequence[Any]) -> tuple[list[Command], int] | None:
    """An XREAD or XREADGROUP of several slots as one command a slot that does not wait, and for how many ms it was to wait
    (-1: not at all, 0: for ever). None for every other command, and where all streams are in one slot."""
    if _word(command[0]) not in _STREAM_READS:
        return None
    marker = _streams(command)
    rest = command[marker + 1 :]
    keys, ids = rest[: len(rest) // 2], rest[len(rest) // 2 :]
    slots: dict[int, list[int]] = {}
    for position, key in enumerate(keys):
        slots.setdefault(slot_of(_key(key)), []).append(position)
    if len(slots) == 1:
        return None
    head, block_ms = list(command[:marker]), -1
    for position, part in enumerate(head):
        if position and _word(part) == "BLOCK":
            block_ms = int(head[position + 1])
            del head[position : position + 2]
            break
    parts = [
        (*head, command[marker], *(keys[i] for i in group), *(ids[i] for i in group)) for group in slots.values()
    ]  # fmt: skip
    return parts, block_ms


def _streams(command: Sequence[Any]) -> int:
    """Where STREAMS stands. The names before it (group, consumer) are ours, and none is called so."""
    return next(position for position, part in enumerate(command) if position and _word(part) == "STREAMS")


def is_for_all(command: Sequence[Any]) -> bool:
    """Whether a command is meant for every primary."""
    return _word(command[0]) in OF_ALL


def _word(part: Any) -> str:
    return part.decode().upper() if isinstance(part, bytes) else str(part).upper()


def _key(part: Any) -> str | bytes:
    return part if isinstance(part, bytes) else str(part)
