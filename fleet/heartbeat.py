"""Membership: every daemon writes its record each second, and its commands ride back on the same round trip.

A command stays in Redis until the next beat says that it has come, so a lost answer loses none. It is carried out once,
except a word that was sent twice in a row: of two alike, side by side, one may be taken for both.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from fleet import scripts
from fleet.errors import FleetError
from fleet.keys import Keys
from fleet.logs import one_line

log = logging.getLogger(__name__)

BEAT_MS = 1000
AGAIN_MS = 250  # behind a beat that failed: the others must hear of us as soon as Redis is back
TTL_MS = 5000  # five missed beats: a member that is only slow stays listed
COMMAND_TTL_MS = 60_000  # a command to a daemon that is gone must not wait for a later one


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon says of itself; unknown fields of newer versions are ignored.

    id             host:pid:nonce, the holder's name in its leases
    rate           messages a second, all pairs
    loop_stall_ms  the worst delay of its event loop since the last beat
    lag_ms         the longest an event took from its frame's arrival to Redis' answer, since the last beat
    started_ms     Unix ms
    egress         the address its venue budgets are shared behind
    port           of its metrics and status on its host, 0: none
    quiet          it takes no more work: draining or stopping
    plans          version of the plans it follows (fleet.plan); 0: of a version that knows none, what it owns is left alone
    standby        it keeps the pairs warm that it is the first heir of
    deaf           `venue:market` → for how many ms it has not reached it (feeds.hearing); older versions never say so
    reached        of those that others do not reach, the ones it does
    """

    id: str
    host: str
    pid: int
    roles: tuple[str, ...]
    capacity: int
    pairs: int = 0
    rate: float = 0.0
    loop_stall_ms: float = 0.0
    lag_ms: float = 0.0
    version: str = ""
    started_ms: int = 0
    egress: str = ""
    port: int = 0
    quiet: bool = False
    plans: int = 0
    standby: bool = False
    deaf: dict[str, int] = {}
    reached: tuple[str, ...] = ()


def make_identity(host: str, pid: int, random: Random) -> str:
    """host:pid:nonce; the nonce tells a restarted process from its former self, also in a container where pid is 1."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '-', host)}:{pid}:{random.getrandbits(32):08x}"


class Heartbeat:
    """Beats as long as `run` runs.

    `record` and `pair_states` are asked at every beat. `on_command` gets each command once. `on_vanished` is called when
    the fleet had taken us for dead (Redis away or emptied, a long pause): others may own what was ours.
    """

    name = "heartbeat"

    def __init__(
        self,
        redis: redis.asyncio.Redis,
        keys: Keys,
        *,
        record: Callable[[], MemberRecord],
        pair_states: Callable[[], Mapping[str, Any]],
        on_command: Callable[[str], None],
        on_vanished: Callable[[], None],
    ) -> None:
        self.failures = 0
        self._redis = redis
        self._keys = keys
        self._record = record
        self._pair_states = pair_states
        self._on_command = on_command
        self._on_vanished = on_vanished
        self._has_beaten = False
        self._come: tuple[str, ...] = ()
        self._encode = msgspec.json.Encoder().encode

    async def run(self) -> None:
        """Beat every second, sooner after one that failed, for ever. Errors of Redis are told once an outage and survived."""
        while True:
            try:
                await self.beat()
            except (RedisError, FleetError, OSError) as error:
                if self.failures == 0:
                    log.warning("heartbeat: Redis did not take our beat: %s", one_line(error))
                self.failures += 1
            else:
                if self.failures:
                    log.info("heartbeat: Redis takes our beat again, %d were lost", self.failures)
                self.failures = 0
            await asyncio.sleep((AGAIN_MS if self.failures else BEAT_MS) / 1000)

    async def beat(self) -> None:
        """One beat, its commands carried out. Raises what the connection raises."""
        record = self._record()
        answer = await scripts.beat(
            self._redis,
            self._keys,
            member=record.id,
            record=self._encode(record).decode(),
            pair_state=self._encode(self._pair_states()).decode(),
            ttl_ms=TTL_MS,
            come=self._come,
        )
        self._come = answer.commands
        if answer.vanished and self._has_beaten:
            log.warning("heartbeat: the fleet had taken us for dead")
            self._on_vanished()
        self._has_beaten = True
        for command in answer.commands:
            log.info("heartbeat: command %r", command)
            self._on_command(command)

    async def leave(self) -> None:
        """Take our record out at a clean stop, so that nobody waits for its expiry. Raises what the connection raises."""
        member = self._record().id
        async with self._redis.pipeline(transaction=True) as transaction:
            transaction.zrem(self._keys.members(), member)
            transaction.delete(self._keys.member(member), self._keys.pair_state(member), self._keys.commands(member))
            await transaction.execute()
        self._has_beaten = False


async def read_members(client: redis.asyncio.Redis, keys: Keys) -> list[MemberRecord]:
    """The records of all living members, ordered by id. A record that cannot be read is logged and left out."""
    listed: list[Any] = await client.zrange(keys.members(), 0, -1)
    members = [member.decode() for member in listed]
    if not members:
        return []
    records = []
    for member, text in zip(members, await client.mget([keys.member(member) for member in members]), strict=True):
        if text is None:  # expired: dead, and not yet taken off the list
            continue
        try:
            records.append(msgspec.json.decode(text, type=MemberRecord))
        except msgspec.DecodeError as error:
            log.warning("member %s: its record is not readable: %s", member, one_line(error))
    return sorted(records, key=lambda record: record.id)


async def read_pair_states(client: redis.asyncio.Redis, keys: Keys, member: str) -> dict[str, Any]:
    """What a member said of its pairs; empty when it is gone."""
    text = await client.get(keys.pair_state(member))
    return msgspec.json.decode(text, type=dict[str, Any]) if text else {}


async def send_command(client: redis.asyncio.Redis, keys: Keys, member: str, command: str) -> None:
    """Leave a command for a daemon's next beat."""
    async with client.pipeline(transaction=True) as transaction:
        transaction.rpush(keys.commands(member), command)
        transaction.pexpire(keys.commands(member), COMMAND_TTL_MS)
        await transaction.execute()
