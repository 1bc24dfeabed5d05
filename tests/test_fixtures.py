"""The fixtures of conftest.py keep their promises."""

import aiomysql
import pytest
import redis.asyncio
from sqlalchemy.engine import make_url

from tests.support.leaks import find_leaked_keys


async def test_mariadb_gives_each_test_a_database_of_its_own(mariadb_url):
    url = make_url(mariadb_url)
    connection = await aiomysql.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, db=url.database
    )
    async with connection.cursor() as cursor:
        await cursor.execute("SHOW TABLES")
        assert await cursor.fetchall() == ()
    connection.close()


async def test_a_private_mariadb_keeps_its_rows_over_kill_9(own_mariadb):
    server = await own_mariadb()
    await server.execute("CREATE DATABASE kept")
    await server.kill()
    await server.start()
    await server.execute("CREATE TABLE kept.t (n INT)")


async def test_waiting_in_vain_says_for_what_and_what_was_seen(wait_until):
    with pytest.raises(AssertionError, match=r"waited 0\.01 s for a wonder; the last value was 0"):
        await wait_until(lambda: 0, "a wonder", timeout_s=0.01)


async def test_waiting_returns_the_value_of_an_async_predicate(wait_until):
    values = iter([None, "", "here"])

    async def look():
        return next(values)

    assert await wait_until(look, "a value") == "here"


def test_recorded_data_are_found(recorded):
    assert (recorded / "INDEX.md").is_file()


async def test_a_key_of_ours_without_expiry_is_found_as_a_leak(redis_url):
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.set("lease:okx:spot:BTC/USDT:{03}", "17 me")
        await client.set("offer:okx:spot:BTC/USDT:{03}", "you", px=60_000)
        await client.hset("tail:{03}", "okx:spot:BTC/USDT", "17 0 - 0-0")
        await client.set("a test's own", 1)
        assert await find_leaked_keys(client) == ["lease:okx:spot:BTC/USDT:{03}"]
        await client.flushall()


@pytest.mark.leaks_keys("to see that the next test finds the server empty")
async def test_a_declared_leak_is_let_through(redis_url):
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.set("lease:okx:spot:BTC/USDT:{03}", "17 me")
