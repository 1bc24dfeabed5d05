"""A Redis Cluster of real processes on loopback: primaries, replicas, slots that can be moved, failovers that happen.

cluster = await own_cluster(replicas=1)
cluster.url                                    redis+cluster://127.0.0.1:…,127.0.0.1:…,127.0.0.1:…
node = cluster.node_of("tail:{07}")            the primary of a key: .port, .kill(), .pause(), .start()
await cluster.move_slot("tail:{07}", to)       the slot of a key and its keys go to another primary
await cluster.healthy()                        every slot is served again, everybody agrees
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from redis.crc import key_slot
from redis.exceptions import RedisError

from ops.embedded.process import free_port
from ops.embedded.redis import EmbeddedRedis
from tests.support.redis_nodes import ask, linked
from tests.support.waiting import wait_until

NODE_TIMEOUT_MS = 1000  # a failover then takes two to three seconds
SLOTS = 16384
READY_S = 30.0  # two seconds on an idle machine
MOVED_AT_ONCE = 100  # keys a MIGRATE

Begin = Callable[[AsyncExitStack, EmbeddedRedis], Any]


class RedisCluster:
    """Nodes of one cluster: the first `primaries` begin as primaries, the others as their replicas, in turn."""

    def __init__(self, nodes: list[EmbeddedRedis], primaries: int) -> None:
        self.nodes = nodes
        self.ids: dict[int, str] = {}  # by port
        self._primaries = primaries
        self._owners: dict[int, int] = {}  # slot → port, as of the last `healthy` or move

    @property
    def url(self) -> str:
        return "redis+cluster://" + self.hosts

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def running(self) -> list[EmbeddedRedis]:
        return [node for node in self.nodes if node.process.is_running]

    def node_of(self, key: str) -> EmbeddedRedis:
        """The primary that served the key's slot when the cluster was last seen healthy, or moved by us."""
        port = self._owners[key_slot(key.encode())]
        return next(node for node in self.nodes if node.port == port)

    def other_than(self, node: EmbeddedRedis) -> EmbeddedRedis:
        """Some other running primary."""
        ports = set(self._owners.values()) - {node.port}
        return next(other for other in self.running if other.port in ports)

    async def assemble(self) -> None:
        """Make one cluster of empty nodes."""
        primaries, replicas = self.nodes[: self._primaries], self.nodes[self._primaries :]
        for number, node in enumerate(self.nodes):
            self.ids[node.port] = (await ask(node, "CLUSTER", "MYID")).decode()
            await ask(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        share = -(-SLOTS // len(primaries))
        for number, node in enumerate(primaries):
            slots = range(number * share, min(SLOTS, (number + 1) * share))
            await ask(node, "CLUSTER", "ADDSLOTS", *slots)
        for node in self.nodes:
            for other in self.nodes:
                if other is not node:
                    bus = _configured(other, "cluster-port")
                    await ask(node, "CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        await wait_until(self._everybody_is_known, "nodes that know each other", READY_S, poll_s=0.02)
        for number, node in enumerate(replicas):
            await ask(node, "CLUSTER", "REPLICATE", self.ids[primaries[number % len(primaries)].port])
        await self.healthy()
        for node in replicas:
            await wait_until(lambda node=node: linked(node), f"{node} in step", READY_S, poll_s=0.02)

        replicas_each = len(replicas) // len(primaries)
        await wait_until(lambda: self._all_list(replicas_each), "replicas known to all", READY_S, poll_s=0.02)

    async def _all_list(self, replicas: int) -> bool:
        rows = [row for node in self.nodes for row in await ask(node, "CLUSTER", "SLOTS")]
        return all(len(row) == 3 + replicas for row in rows)

    async def healthy(self, timeout_s: float = READY_S) -> None:
        """Wait until every running node calls the cluster ok and all name the same owners of all slots."""
        await wait_until(self._agreed, "a cluster that is ok and of one mind", timeout_s, poll_s=0.02)

    async def replicated(self) -> None:
        """Wait until every running primary's replicas have all that it has."""
        await wait_until(self._in_step, "replicas that have all", READY_S, poll_s=0.02)

    async def _in_step(self) -> bool:
        for node in self.running:
            info = await ask(node, "INFO", "replication")
            if (
                info["role"] == "master"
                and info["connected_slaves"]
                and info["slave0"]["offset"] != info["master_repl_offset"]
            ):
                return False
        return True

    async def move_slot(self, key: str, to: EmbeddedRedis) -> None:
        """The slot of `key` goes to another primary, as redis-cli --cluster reshard does it."""
        async with MovingSlot(self, key, to) as moving:
            await moving.move_keys()

    async def empty(self) -> None:
        """FLUSHALL and SCRIPT FLUSH on every primary."""
        for port in set(self._owners.values()):
            node = next(node for node in self.nodes if node.port == port)
            await ask(node, "FLUSHALL")
            await ask(node, "SCRIPT", "FLUSH")

    async def _everybody_is_known(self) -> bool:
        for node in self.nodes:
            lines = (await _raw(node, "CLUSTER NODES")).splitlines()
            if len(lines) != len(self.nodes) or any("handshake" in line or "fail" in line for line in lines):
                return False
        return True

    async def _agreed(self) -> bool:
        seen: list[dict[int, int]] = []
        for node in self.running:
            try:
                if "cluster_state:ok" not in await _raw(node, "CLUSTER INFO"):
                    return False
                seen.append(_owners(await ask(node, "CLUSTER", "SLOTS")))
            except (RedisError, OSError):
                return False
        alive = {node.port for node in self.running}
        if any(owners != seen[0] for owners in seen) or len(seen[0]) != SLOTS or not set(seen[0].values()) <= alive:
            return False
        self._owners = seen[0]
        return True


class MovingSlot:
    """A slot half way between two primaries: inside the block the source answers ASK and TRYAGAIN; at its end it is moved."""

    def __init__(self, cluster: RedisCluster, key: str, to: EmbeddedRedis) -> None:
        self.slot = key_slot(key.encode())
        self._cluster, self._to = cluster, to
        self._source = cluster.node_of(key)

    async def __aenter__(self) -> Self:
        ids = self._cluster.ids
        await ask(self._to, "CLUSTER", "SETSLOT", self.slot, "IMPORTING", ids[self._source.port])
        await ask(self._source, "CLUSTER", "SETSLOT", self.slot, "MIGRATING", ids[self._to.port])
        return self

    async def move_keys(self, most: int | None = None) -> int:
        """Move at most so many keys now (None: all); how many went."""
        moved = 0
        while most is None or moved < most:
            count = MOVED_AT_ONCE if most is None else min(MOVED_AT_ONCE, most - moved)
            keys = await ask(self._source, "CLUSTER", "GETKEYSINSLOT", self.slot, count)
            if not keys:
                break
            await ask(self._source, "MIGRATE", "127.0.0.1", self._to.port, "", 0, 5000, "KEYS", *keys)
            moved += len(keys)
        return moved

    async def __aexit__(self, *ended: object) -> None:
        await self.move_keys()
        owner = self._cluster.ids[self._to.port]
        await ask(self._to, "CLUSTER", "SETSLOT", self.slot, "NODE", owner)
        await ask(self._source, "CLUSTER", "SETSLOT", self.slot, "NODE", owner)
        self._cluster._owners[self.slot] = self._to.port


async def start_cluster(
    stack: AsyncExitStack,
    begin: Callable[[AsyncExitStack, EmbeddedRedis], Any],
    new_directory: Callable[[str], Path],
    *,
    primaries: int = 3,
    replicas: int = 0,
    settings: Mapping[str, str] | None = None,
) -> RedisCluster:
    """`replicas` of each primary. The nodes end with the stack."""
    nodes: list[EmbeddedRedis] = []
    for _ in range(primaries * (1 + replicas)):
        own = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            "cluster-port": str(free_port()),
            "repl-diskless-sync-delay": "0",
            "cluster-require-full-coverage": "no",  # as OPERATING.md asks: one node that fails over is not all
            "repl-ping-replica-period": "1",  # a replica is listed once it has heard something
            "cluster-replica-validity-factor": "0",  # a starved replica is still better than none
        }
        node = EmbeddedRedis(new_directory("node"), settings={**own, **(settings or {})})
        await begin(stack, node)
        nodes.append(node)
    cluster = RedisCluster(nodes, primaries)
    async with asyncio.timeout(2 * READY_S):
        await cluster.assemble()
    return cluster


def _configured(node: EmbeddedRedis, name: str) -> str:
    lines = (node.directory / "redis.conf").read_text().splitlines()
    return next(line.partition(" ")[2] for line in lines if line.startswith(f"{name} "))


def _owners(slots: list[list[Any]]) -> dict[int, int]:
    """Slot → port of its primary, from CLUSTER SLOTS: first, last, [address, port, id …], replicas."""
    return {slot: int(row[2][1]) for row in slots for slot in range(int(row[0]), int(row[1]) + 1)}


async def _raw(node: EmbeddedRedis, command: str) -> str:
    answer = await ask(node, *command.split())
    return answer.decode() if isinstance(answer, bytes) else str(answer)
