"""Redis behind Sentinels, real processes on loopback: a primary, a replica, three sentinels that agree quickly.

behind = await own_sentinel()
behind.url                         redis+sentinel://127.0.0.1:…,127.0.0.1:…/books/0
await behind.primary.kill()        a sentinel promotes the replica within two seconds
await behind.promoted()            the sentinels name another primary, and it takes writes
"""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from ops.embedded.redis import EmbeddedRedis, find_redis_server
from tests.support.redis_nodes import ask, is_primary, linked
from tests.support.waiting import wait_until

SERVICE = "books"
DOWN_AFTER_MS = 500
READY_S = 20.0
PROMOTED_S = 30.0  # two seconds on an idle machine


class Sentinel(EmbeddedRedis):
    """A sentinel process that watches one primary."""

    name = "redis-sentinel"

    def __init__(self, directory: Path, primary: EmbeddedRedis, quorum: int) -> None:
        super().__init__(directory)
        self._primary = primary
        self._quorum = quorum

    def _prepare(self) -> list[str | Path]:
        password = self._primary._settings.get("requirepass")
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'dir "{self.directory}"',
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._primary.port} {self._quorum}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
            *([f"sentinel auth-pass {SERVICE} {password}"] if password else []),
        ]
        configuration = self.directory / "sentinel.conf"  # it rewrites this file itself
        configuration.write_text("".join(line + "\n" for line in lines))
        return [find_redis_server(), configuration, "--sentinel"]


class SentinelSetup:
    """Two servers and their sentinels."""

    def __init__(self, servers: list[EmbeddedRedis], sentinels: list[Sentinel]) -> None:
        self.servers = servers
        self.sentinels = sentinels
        self.primary = servers[0]  # as of the start, or the last `promoted`

    @property
    def url(self) -> str:
        return f"redis+sentinel://{self.hosts}/{SERVICE}/0"

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)

    async def ready(self) -> None:
        """Wait until every sentinel knows the replica and the other sentinels: before that none can be promoted."""
        others = len(self.sentinels) - 1

        async def all_know() -> bool:
            for sentinel in self.sentinels:
                row: list[bytes] = await ask(sentinel, "SENTINEL", "MASTER", SERVICE)
                known = dict(zip(row[::2], row[1::2], strict=True)) if isinstance(row, list) else row
                seen = {_text(name): _text(value) for name, value in known.items()}
                if (seen["num-slaves"], seen["num-other-sentinels"]) != ("1", str(others)):
                    return False
            return await linked(self.servers[1])

        await wait_until(all_know, "sentinels that know everybody", READY_S, poll_s=0.02)

    async def promoted(self, timeout_s: float = PROMOTED_S) -> EmbeddedRedis:
        """Wait until all running sentinels name another primary than before, and it takes writes; that one."""

        async def another() -> EmbeddedRedis | None:
            named = set()
            for sentinel in self.sentinels:
                if not sentinel.process.is_running:
                    continue
                try:
                    _, port = await ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
                except (RedisError, OSError):
                    return None
                named.add(int(port))
            if len(named) != 1 or named == {self.primary.port}:
                return None
            found = next(server for server in self.servers if server.port in named)
            return found if await is_primary(found) else None

        found = await wait_until(another, "a promoted replica", timeout_s, poll_s=0.02)
        assert found is not None
        self.primary = found
        return found

    async def switch(self) -> EmbeddedRedis:
        """A failover in peace: the present primary lives on as a replica, and refuses writes with READONLY."""
        await ask(self.sentinels[0], "SENTINEL", "FAILOVER", SERVICE)
        return await self.promoted()


async def start_sentinel(
    stack: AsyncExitStack,
    begin: Callable[[AsyncExitStack, EmbeddedRedis], Any],
    new_directory: Callable[[str], Path],
    *,
    sentinels: int = 3,
    settings: Mapping[str, str] | None = None,
) -> SentinelSetup:
    """A primary, a replica and `sentinels` of them; a majority promotes. They end with the stack."""
    shared = {"repl-diskless-sync-delay": "0", **(settings or {})}
    if password := shared.get("requirepass"):
        shared["masterauth"] = password
    primary = EmbeddedRedis(new_directory("redis"), settings=shared)
    await begin(stack, primary)
    replica = EmbeddedRedis(new_directory("redis"), settings={**shared, "replicaof": f"127.0.0.1 {primary.port}"})
    await begin(stack, replica)
    await wait_until(lambda: linked(replica), "a replica in step", READY_S, poll_s=0.02)
    watching = []
    for _ in range(sentinels):
        watching.append(Sentinel(new_directory("sentinel"), primary, quorum=sentinels // 2 + 1))
        await begin(stack, watching[-1])
    setup = SentinelSetup([primary, replica], watching)
    await setup.ready()
    return setup


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
