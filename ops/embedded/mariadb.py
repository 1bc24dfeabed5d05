"""A private MariaDB: mariadbd on 127.0.0.1, as root or as a normal user. For tests and chaos runs."""

import asyncio
import os
import shutil
from pathlib import Path

import aiomysql
import pymysql.err

from fleet.config import environment
from ops.embedded.errors import ServerMissingError, ServerStartError
from ops.embedded.process import accepts
from ops.embedded.server import EmbeddedServer

USER = "fleet"
PASSWORD = "secret"  # noqa: S105 - of a server on loopback that ends with its maker
MEND = "apt-get install mariadb-server, or brew install mariadb"

# A normal user's PATH lacks sbin on Debian; Homebrew keeps a keg of its own.
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/opt/mariadb/bin", "/usr/local/opt/mariadb/bin")

# Small and quick. A commit reaches the operating system at once and the disk within a second, so it survives kill -9.
SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-networking=0",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--character-set-server=utf8mb4",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-use-native-aio=0",  # several servers would exhaust the machine's aio contexts
)


def find_program(name: str) -> Path:
    """A program of MariaDB, on PATH or where distributions hide it. Raises `ServerMissingError`."""
    search = os.pathsep.join([environment().get("PATH", ""), *FOLDERS])
    if found := shutil.which(name, path=search):
        return Path(found)
    raise ServerMissingError("MariaDB", f"{name} on PATH and in {', '.join(FOLDERS)}", MEND)


class MariaDB(EmbeddedServer):
    """mariadbd with the user `fleet`, password `secret`, who may do everything."""

    name = "mariadbd"
    start_timeout_s = 60.0
    stop_deadline_s = 15.0

    @property
    def url(self) -> str:
        """Without a database; see `database_url`."""
        return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    def database_url(self, database: str) -> str:
        return f"{self.url}/{database}"

    async def execute(self, statement: str) -> None:
        """Run one statement outside any database."""
        connection = await aiomysql.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, autocommit=True
        )
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(statement)
        finally:
            connection.close()

    async def start(self) -> None:
        if not self._data.exists():
            await self._install()
        await super().start()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _own_tmp(self) -> str:
        """A server that starts removes the temporary tables of all others in its folder for them."""
        return f"--tmpdir={self.directory}"

    @property
    def _as_user(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    async def _install(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        program = find_program("mariadb-install-db")
        log = self.directory / "install.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                program,
                "--no-defaults",
                f"--datadir={self._data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--innodb-log-file-size=8M",
                self._own_tmp,
                *self._as_user,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            exit_code = await process.wait()
        if exit_code != 0:
            raise ServerStartError(
                "mariadb-install-db", f"it ended with exit code {exit_code}", log, log.read_text(errors="replace")
            )

    def _prepare(self) -> list[str | Path]:
        users = self.directory / "users.sql"
        users.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
        )
        return [
            find_program("mariadbd"),
            "--no-defaults",
            f"--datadir={self._data}",
            f"--socket={self.directory / 'socket'}",
            f"--pid-file={self.directory / 'pid'}",
            f"--port={self.port}",
            f"--init-file={users}",
            self._own_tmp,
            *self._as_user,
            *SETTINGS,
        ]

    async def _answers(self) -> bool:
        """A login, and into our own data directory: a stranger may have taken the port before us."""
        if not await accepts(self.port):
            return False
        try:
            connection = await aiomysql.connect(
                host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, connect_timeout=2
            )
        except (OSError, pymysql.err.MySQLError):
            return False
        try:
            async with connection.cursor() as cursor:
                await cursor.execute("SELECT @@datadir")
                [data] = await cursor.fetchone()
                return Path(data) == self._data
        finally:
            connection.close()
