"""A private ClickHouse on loopback, from the `chdb-core` wheel (`pip install 'fleet[embedded]'`)."""

import asyncio
import importlib.util
import secrets
import sys
from pathlib import Path

from asynch import connect
from asynch.errors import ClickHouseException

from ops.embedded import clickhouse_child
from ops.embedded.errors import ServerMissingError
from ops.embedded.process import accepts, free_port
from ops.embedded.server import EmbeddedServer

WHEEL = "chdb"  # import name of chdb-core
MEND = "pip install 'fleet[embedded]'"
PROBE_TIMEOUT_S = 2.0

CONFIGURATION = """\
<clickhouse>
    <display_name>{display_name}</display_name>
    <listen_host>127.0.0.1</listen_host>
    <tcp_port>{tcp_port}</tcp_port>
    <http_port>{http_port}</http_port>
</clickhouse>
"""


def find_native_module() -> Path:
    """The engine's shared library inside the wheel; nothing is imported. Raises `ServerMissingError`."""
    specification = importlib.util.find_spec(WHEEL)
    for folder in (specification and specification.submodule_search_locations) or ():
        library = Path(folder, "_chdb.abi3.so")
        if library.exists():
            return library
    raise ServerMissingError("ClickHouse", "the wheel chdb-core", MEND)


class EmbeddedClickHouse(EmbeddedServer):
    """A ClickHouse whose data lie in `directory`/data and survive a crash: a later start on the directory has them.

    ~240 MB of memory, idle at 0 % CPU. `port` is the native protocol's, `http_port` is chosen at each start.
    """

    name = "clickhouse"
    start_timeout_s = 60.0  # ready in ~1 s; the wheel's library is 555 MB to read on a cold disk
    stop_deadline_s = 5.0

    def __init__(self, directory: Path, port: int = 0) -> None:
        super().__init__(directory, port)
        self.http_port = 0
        self._display_name = f"fleet-{secrets.token_hex(8)}"  # by which we know our own server

    @property
    def url(self) -> str:
        """The URL for clients: native protocol, user `default` without a password, database `default`."""
        return f"clickhouse://default:@127.0.0.1:{self.port}/default"

    def _prepare(self) -> list[str | Path]:
        library = find_native_module()
        self.http_port = free_port()
        (self.directory / "config.xml").write_text(
            CONFIGURATION.format(display_name=self._display_name, tcp_port=self.port, http_port=self.http_port)
        )
        return [sys.executable, "-I", clickhouse_child.__file__, library, self.directory / "data"]

    async def _answers(self) -> bool:
        """A query over the native protocol, from our own server: a stranger may have taken the port before us."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                if not await accepts(self.port):  # asked first, since asynch logs each refusal
                    return False
                async with connect(self.url) as connection, connection.cursor() as cursor:
                    await cursor.execute("SELECT displayName()")
                    return bool(await cursor.fetchone() == (self._display_name,))
        except (OSError, EOFError, TimeoutError, ClickHouseException):
            return False
