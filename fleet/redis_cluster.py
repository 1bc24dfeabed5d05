"""A Redis Cluster behind the face of one redis.asyncio.Redis: every command goes to the node of its key.

For a fleet's own commands, whose keys share a slot (fleet.keys): scripts, transactions, single keys. A pipeline without
transaction may hold any slots: it becomes one pipeline a node, all at once. XREAD and XREADGROUP of streams in several slots
are asked slot by slot; one that would wait asks again until there is something (redis-protocol.md §7). Commands without a key
(TIME, PING) go to the node of the fleet's own keys.

Not redis-py's RedisCluster: that one sends writes again whose answer was lost, refuses scripts in pipelines, and drops
cancellations as its connections do (fleet.redis_connection).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import redis.asyncio
from redis.asyncio.client import Pipeline
from redis.exceptions import AskError, ClusterDownError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from fleet.cluster_commands import first_key, is_for_all, split_read
from fleet.cluster_map import slot_of
from fleet.cluster_routes import NotServed, Routes
from fleet.redis_url import HostPort

FLEET_SLOT = slot_of("{fleet}")
# A round of reading many slots without waiting costs us ~45 µs a stream: at most about a tenth of a core is spent on it
POLL_S = 0.005
POLL_A_STREAM_S = 0.0004

T = TypeVar("T")
Node = redis.asyncio.Redis
_NOT_DONE = (AskError, TryAgainError, ClusterDownError)  # MOVED is a kind of ASK


class ClusterClient(redis.asyncio.Redis):
    """`client_at` makes the pooled client of one node; they are closed with this one."""

    def __init__(self, seeds: Sequence[HostPort], client_at: Callable[[HostPort], Node]) -> None:
        self._client_at = client_at
        self._clients: dict[HostPort, Node] = {}
        self.routes: Routes[Node] = Routes(seeds, self._node, _ask_slots)
        super().__init__(connection_pool=self._node(seeds[0]).connection_pool)

    def _node(self, at: HostPort) -> Node:
        if at not in self._clients:
            self._clients[at] = self._client_at(at)
        return self._clients[at]

    def __repr__(self) -> str:
        return f"<ClusterClient {', '.join(map(str, self._clients))}>"

    async def primaries(self) -> dict[HostPort, Node]:
        """A client of every primary, by the map as it is now. Raises ConnectionError of redis-py."""
        try:
            return {at: self._node(at) for at in (await self.routes.refresh()).primaries}
        except NotServed as error:
            raise RedisConnectionError(str(error)) from error

    async def on_node_of(self, key: str | bytes | None, act: Callable[[Node, bool], Awaitable[T]]) -> T:
        """`act(node, asking)` at the node of a key; asked again when it was certainly not carried out.

        Raises what the node's client raises; ConnectionError of redis-py where no node serves the key.
        """
        try:
            return await self.routes.run(FLEET_SLOT if key is None else slot_of(key), act)
        except NotServed as error:
            raise RedisConnectionError(str(error)) from error

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """A command, carried out at the node of its first key; one that empties, at every primary."""
        if is_for_all(args):
            nodes = (await self.primaries()).values()
            return (await asyncio.gather(*(run_on(node, args, dict(options), asking=False) for node in nodes)))[0]
        split = split_read(args)
        if split is not None:
            return await self._read_slots(*split, options)

        async def act(node: Node, asking: bool) -> Any:
            return await run_on(node, args, dict(options), asking=asking)

        return await self.on_node_of(first_key(args), act)

    async def _read_slots(self, parts: Sequence[tuple[Any, ...]], block_ms: int, options: dict[str, Any]) -> Any:
        loop = asyncio.get_running_loop()
        began = loop.time()
        pause_s = POLL_S + POLL_A_STREAM_S * len(parts)
        while True:
            pipe = self.pipeline(transaction=False)
            for part in parts:
                pipe.execute_command(*part, **options)
            found = [answer for answer in await pipe.execute() if answer]
            if found or block_ms < 0 or (block_ms and (loop.time() - began) * 1000 >= block_ms):
                return _merged(found)
            await asyncio.sleep(pause_s)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "ClusterPipeline":
        """Commands sent together: with `transaction` as one MULTI, whose keys must share a slot."""
        return ClusterPipeline(self, transaction)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections to all nodes."""
        clients, self._clients = list(self._clients.values()), {}
        await asyncio.gather(*(client.aclose(close_connection_pool) for client in clients))
        await super().aclose(close_connection_pool)


class ClusterPipeline(Pipeline):
    """Collects commands as every pipeline of redis-py does; carries them out where their keys are."""

    def __init__(self, client: ClusterClient, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The answers, in the order of the commands. Raises what a command raised, or leaves it in its place."""
        commands: list[tuple[Any, ...]] = list(self.command_stack)
        self.command_stack = []
        if not commands:
            return []
        if self.is_transaction:
            return await self._transaction(commands, raise_on_error)
        answers = await self._by_node(commands)
        for answer in answers:
            if raise_on_error and isinstance(answer, Exception):
                raise answer
        return answers

    async def _transaction(self, commands: list[tuple[Any, ...]], raise_on_error: bool) -> list[Any]:
        keys = [key for args, _ in commands if (key := first_key(args)) is not None]
        if len({slot_of(key) for key in keys}) > 1:
            raise ValueError(f"a transaction of several slots: {keys}")

        async def act(node: Node, asking: bool) -> list[Any]:
            if asking:  # it holds for one command only, and the others are needed too
                raise TryAgainError("the slot is half way to another node")
            return await _send(node, commands, transaction=True, raise_on_error=raise_on_error)

        return await self._client.on_node_of(keys[0] if keys else None, act)

    async def _by_node(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """One pipeline a node, all at once; what a node did not carry out is asked again by itself."""
        client = self._client
        try:
            known = await client.routes.current()
        except NotServed as error:
            raise RedisConnectionError(str(error)) from error
        groups: dict[HostPort | None, list[int]] = {}
        for position, (args, _) in enumerate(commands):
            key = first_key(args)
            groups.setdefault(known.owner(FLEET_SLOT if key is None else slot_of(key)), []).append(position)
        answers: list[Any] = [TryAgainError("nobody serves the slot")] * len(commands)

        async def ask(at: HostPort, positions: list[int]) -> None:
            mine = [commands[position] for position in positions]
            try:
                found = await _send(client._node(at), mine, transaction=False, raise_on_error=False)
            except (RedisError, OSError):
                client.routes.suspect()
                raise
            for position, answer in zip(positions, found, strict=True):
                answers[position] = answer

        asked = [ask(at, positions) for at, positions in groups.items() if at is not None]
        for ended in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended
        for position, answer in enumerate(answers):
            if isinstance(answer, _NOT_DONE):
                args, options = commands[position]
                client.routes.suspect()
                try:
                    answers[position] = await client.execute_command(*args, **options)
                except (RedisError, OSError) as error:  # in its place, as every other error of a command
                    answers[position] = error
        return answers


async def run_on(node: Node, args: Sequence[Any], options: dict[str, Any], *, asking: bool) -> Any:
    """One command on one node; `asking`: with ASKING before it, on the same connection."""
    if not asking:
        return await node.execute_command(*args, **options)  # type: ignore[no-untyped-call]
    return (await _send(node, [(("ASKING",), {}), (args, options)], transaction=False, raise_on_error=True))[1]


async def _send(
    node: Node, commands: Sequence[tuple[Any, ...]], *, transaction: bool, raise_on_error: bool
) -> list[Any]:
    pipe = node.pipeline(transaction=transaction)
    for args, options in commands:
        pipe.execute_command(*args, **dict(options))
    return list(await pipe.execute(raise_on_error))


async def _ask_slots(node: Node) -> Sequence[Any]:
    answer: Sequence[Any] = await node.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
    return answer


def _merged(found: list[Any]) -> Any:
    """Answers of several reads as one: redis-py gives lists or dicts, by protocol."""
    if found and isinstance(found[0], dict):
        return {stream: entries for answer in found for stream, entries in answer.items()}
    return [row for answer in found for row in answer]
