"""The layout of a fleet, kept in Redis: who disagrees must not join, for he would write to other keys or forms."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import redis.asyncio

from fleet.errors import LayoutMismatch
from fleet.keys import KEY_VERSION, Keys


class Layout(NamedTuple):
    shards: int
    key_version: int
    wire_version: int


async def join_layout(client: redis.asyncio.Redis, keys: Keys, wire_version: int) -> Layout:
    """Write our layout if there is none yet, else compare. Call it again after Redis was emptied.

    Raises LayoutMismatch with the mend.
    """
    ours = Layout(keys.shards, KEY_VERSION, wire_version)
    async with client.pipeline(transaction=True) as transaction:
        for name, value in ours._asdict().items():
            transaction.hsetnx(keys.layout(), name, str(value))
        transaction.hgetall(keys.layout())
        stored = (await transaction.execute())[-1]
    theirs = _parse(stored, keys)
    if theirs != ours:
        raise LayoutMismatch(_mend(ours, theirs, keys))
    return ours


async def read_layout(client: redis.asyncio.Redis, keys: Keys) -> Layout | None:
    """The layout in Redis; None when no fleet has run there. Readers take the number of shards from it, and must refuse
    another key or wire version. Raises LayoutMismatch for a key that is no layout."""
    stored: Mapping[Any, Any] = await client.hgetall(keys.layout())
    return _parse(stored, keys) if stored else None


def _parse(stored: Mapping[Any, Any], keys: Keys) -> Layout:
    try:
        return Layout(*(int(stored[name.encode()]) for name in Layout._fields))
    except (KeyError, ValueError) as error:
        raise LayoutMismatch(
            f"{keys.layout()}: expected shards, key_version and wire_version, got {stored!r:.200}; "
            "use another FLEET_NAMESPACE"
        ) from error


def _mend(ours: Layout, theirs: Layout, keys: Keys) -> str:
    if theirs.key_version != ours.key_version or theirs.wire_version != ours.wire_version:
        return (
            f"{keys.layout()}: this Redis is used by another version of the program (keys {theirs.key_version}, wire "
            f"{theirs.wire_version}; ours: {ours.key_version}, {ours.wire_version}); run that version, or use another "
            "FLEET_NAMESPACE"
        )
    return (
        f"{keys.layout()}: the fleet on this Redis has {theirs.shards} shards, we were given {ours.shards}; "
        f"set FLEET_SHARDS={theirs.shards}, or use another FLEET_NAMESPACE"
    )
