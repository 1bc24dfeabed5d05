"""The client: errors that say what to do, one copy of a block whatever happened, and a new connection after a lost one."""

import asyncio

import pytest

from fleet.errors import ConfigError, SchemaMissing, Unreachable
from monitor.clickhouse import ClickHouse, External, Refused, check_schema, create_schema
from monitor.schema import DELTAS, TABLES


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("default:@", "default:sesame@"), "refuses the login of user 'default'"),
        (("default:@", "nobody:sesame@"), "refuses the login of user 'nobody'"),
        (("127.0.0.1", "no-such-host.invalid"), "no-such-host.invalid"),
    ],
)
async def test_a_login_or_host_that_is_wrong_is_told_without_the_password(clickhouse_url, change, says):
    async with ClickHouse(clickhouse_url.replace(*change)) as client:
        with pytest.raises(Unreachable) as caught:
            await client.query("SELECT 1")
    assert says in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert "sesame" not in repr(client)


async def test_nobody_listening_is_told_with_the_port(free_port):
    port = free_port()
    async with ClickHouse(f"clickhouse://default:sesame@127.0.0.1:{port}/default") as client:
        for _ in range(3):  # asynch itself forgets how to reconnect after the first
            with pytest.raises(Unreachable, match=rf"127\.0\.0\.1:{port}: connection refused"):
                await client.query("SELECT 1")


async def test_the_http_port_is_told_apart(clickhouse_server):
    url = clickhouse_server.url.replace(str(clickhouse_server.port), str(clickhouse_server.http_port))
    async with ClickHouse(url) as client:
        with pytest.raises(Unreachable, match="native port"):
            await client.query("SELECT 1")


def test_a_url_that_is_none_is_a_mistake_of_configuration_and_keeps_its_password():
    with pytest.raises(ConfigError) as caught:
        ClickHouse("http://user:sesame@host/db")
    assert "sesame" not in str(caught.value)


async def test_a_missing_table_names_the_mend(clickhouse_url):
    async with ClickHouse(clickhouse_url) as client:
        with pytest.raises(SchemaMissing, match=r"orderbook_deltas.*fleet init"):
            await client.insert(DELTAS.name, DELTAS.names, [[] for _ in DELTAS.names], "token")
        with pytest.raises(SchemaMissing, match=r"lacks orderbook_snapshots, orderbook_deltas.*fleet init"):
            await check_schema(client)


async def test_a_missing_database_names_the_mend(clickhouse_url):
    async with ClickHouse(clickhouse_url + "_gone") as client:
        with pytest.raises(SchemaMissing, match="fleet init"):
            await client.query("SELECT 1 FROM orderbook_deltas")


async def test_init_makes_the_database_and_every_table_and_may_be_repeated(clickhouse_server):
    url = clickhouse_server.url.removesuffix("/default") + "/made_by_init"
    for _ in range(2):
        assert await create_schema(url) == [table.name for table in TABLES]
    async with ClickHouse(url) as client:
        await check_schema(client)
        await client.execute("DROP DATABASE made_by_init SYNC")


async def test_a_table_of_an_older_schema_is_told_by_column(history):
    await history.execute("ALTER TABLE bbo DROP COLUMN ask_text")
    with pytest.raises(SchemaMissing, match=r"bbo\.ask_text"):
        await check_schema(history)


async def test_a_block_under_the_same_token_is_stored_once(clickhouse_url):
    async with ClickHouse(clickhouse_url) as client:
        await client.execute(
            "CREATE TABLE t (a Int64, b Nullable(Int64)) ENGINE = MergeTree ORDER BY a "
            "SETTINGS non_replicated_deduplication_window = 100"
        )
        columns = [[1, 2], [None, 5]]
        for token in ("one", "one", "two"):
            await client.insert("t", ("a", "b"), columns, token)
        assert columns == [[1, 2], [None, 5]]  # a retry must send what the first attempt sent
        assert await client.query("SELECT a, b FROM t ORDER BY a") == [(1, None), (1, None), (2, 5), (2, 5)]


async def test_a_refused_insert_is_an_error_and_the_connection_goes_on(clickhouse_url):
    async with ClickHouse(clickhouse_url) as client:
        await client.execute("CREATE TABLE t (a Int64, CONSTRAINT small CHECK a < 10) ENGINE = MergeTree ORDER BY a")
        with pytest.raises(Refused, match=r"code 469.*Constraint"):
            await client.insert("t", ("a",), [[5, 50]], "token")
        assert await client.query("SELECT count() FROM t") == [(0,)]


async def test_values_are_escaped_and_tables_are_sent_along(clickhouse_url):
    async with ClickHouse(clickhouse_url) as client:
        assert await client.query("SELECT %(a)s", {"a": "it's \\ here"}) == [("it's \\ here",)]
        asked = External([("a", "Int64"), ("b", "String")], [(1, "x"), (2, "y'")])
        assert await client.query("SELECT b FROM asked ORDER BY a", tables={"asked": asked}) == [("x",), ("y'",)]


async def test_a_restarted_server_is_found_again(own_clickhouse):
    server = await own_clickhouse()
    async with ClickHouse(server.url) as client:
        assert await client.query("SELECT 1") == [(1,)]
        await server.kill()
        for _ in range(2):
            with pytest.raises(Unreachable, match="connection refused"):
                await client.query("SELECT 1")
        await server.start()
        assert await client.query("SELECT 2") == [(2,)]


async def test_a_paused_server_is_unreachable_in_time_and_well_again_after(own_clickhouse):
    server = await own_clickhouse()
    async with ClickHouse(server.url, query_timeout_s=0.5) as client:
        await client.query("SELECT 1")
        server.pause()
        try:
            with pytest.raises(Unreachable, match="no answer in time"):
                await client.query("SELECT 1")
        finally:
            server.resume()
    async with ClickHouse(server.url) as client:
        assert await client.query("SELECT 2") == [(2,)]


async def test_a_cancelled_query_leaves_the_client_usable(clickhouse_url):
    async with ClickHouse(clickhouse_url) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.query("SELECT sleep(2)")
        assert await client.query("SELECT 2") == [(2,)]


async def test_each_table_has_a_comment_on_every_column(history):
    rows = await history.query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = '' AND name != 'stream_id'"
    )
    assert rows == []
