"""ClickHouse from the wheel: served to the same driver as a real one, and crash-proof."""

import signal
import socket

import asynch
import pytest

from ops.embedded import clickhouse as embedded_clickhouse
from ops.embedded import server as embedded_server
from ops.embedded.clickhouse import EmbeddedClickHouse
from ops.embedded.errors import ServerMissingError


async def run(url, *statements):
    async with asynch.connect(url) as connection, connection.cursor() as cursor:
        for statement in statements:
            await cursor.execute(statement)
        return await cursor.fetchall()


async def test_rows_survive_kill_9_and_the_directory_opens_again(own_clickhouse):
    server = await own_clickhouse()
    await run(server.url, "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    await run(server.url, "INSERT INTO t SELECT number FROM numbers(1000)")
    pid = server.pid
    await server.kill()
    assert not server.process.is_running
    await server.start()
    assert server.pid != pid
    assert await run(server.url, "SELECT count(), sum(n) FROM t") == [(1000, 499500)]


async def test_sigterm_ends_it_without_waiting_for_the_deadline(own_clickhouse):
    server = await own_clickhouse()
    await server.process.stop(deadline_s=5)
    assert server.process.exit_code == -signal.SIGTERM


async def test_http_is_served_beside_the_native_protocol(own_clickhouse):
    server = await own_clickhouse()
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=5) as connection:
        connection.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
        assert connection.makefile("rb").read().endswith(b"Ok.\n")


async def test_a_port_lost_to_a_stranger_is_chosen_anew(tmp_path, monkeypatch, free_port):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken, free = stranger.getsockname()[1], free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(embedded_server, "free_port", lambda: next(ports))
        async with EmbeddedClickHouse(tmp_path) as server:
            assert server.port == free


async def test_without_the_wheel_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(embedded_clickhouse, "WHEEL", "no_such_wheel")
    with pytest.raises(ServerMissingError) as missing:
        await EmbeddedClickHouse(tmp_path).start()
    assert str(missing.value) == (
        "no ClickHouse on this machine: looked for the wheel chdb-core. Mend: pip install 'fleet[embedded]'"
    )


async def test_each_test_has_a_database_of_its_own(clickhouse_url):
    database = clickhouse_url.rpartition("/")[2]
    assert await run(clickhouse_url, "SELECT currentDatabase()") == [(database,)]
    assert await run(clickhouse_url, "SHOW TABLES") == []
