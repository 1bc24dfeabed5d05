"""fleet/redis_connection.py on real servers."""

import socket
import ssl
from pathlib import Path

import pytest
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fleet import redis_connection
from fleet.config import Settings
from fleet.errors import ConfigError, Unreachable
from fleet.redis_check import check
from fleet.redis_connection import address, connect, explain


def settings(url: str) -> Settings:
    return Settings(redis_url=url)


async def checked(url: str) -> str:
    client = connect(settings(url), name="doctor")
    try:
        return await check(client, settings(url))
    finally:
        await client.aclose()


async def test_a_good_server_passes_and_says_its_version(redis_url: str) -> None:
    assert int((await checked(redis_url)).split(".")[0]) >= 6


@pytest.mark.parametrize("mode", ["redis_mode", "server_mode"])  # the second is Valkey's word, from 9.0 on
async def test_a_node_of_a_cluster_is_known_by_either_word(redis_url: str, monkeypatch, mode: str) -> None:
    client = connect(settings(redis_url), name="doctor")
    told = {"redis_version": "7.2.4", mode: "cluster"}

    async def info(*_sections: str) -> dict[str, str]:
        return told

    monkeypatch.setattr(client, "info", info)
    try:
        with pytest.raises(ConfigError, match="a node of a Cluster"):
            await check(client, settings(redis_url))
        told[mode] = "standalone"
        assert await check(client, settings(redis_url)) == "7.2.4"
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("version", "is_taken"), [("6.2.6", False), ("6.2.7", True), ("6.2.14", True), ("7.0.0", True)]
)
async def test_a_redis_whose_trimming_is_wrong_is_refused(
    redis_url: str, monkeypatch, version: str, is_taken: bool
) -> None:
    client = connect(settings(redis_url), name="doctor")

    async def info(*_sections: str) -> dict[str, str]:
        return {"redis_version": version, "redis_mode": "standalone"}

    monkeypatch.setattr(client, "info", info)
    try:
        if is_taken:
            assert await check(client, settings(redis_url)) == version
        else:
            with pytest.raises(ConfigError, match=r"need 6\.2\.7 or newer"):
                await check(client, settings(redis_url))
    finally:
        await client.aclose()


async def test_the_client_gives_bytes_and_says_its_name(redis_url: str) -> None:
    client = connect(settings(redis_url), name="monitor")
    await client.set("key", "value")
    assert await client.get("key") == b"value"
    assert await client.client_getname() == "monitor"
    await client.aclose()


async def test_a_server_that_may_evict_is_refused_with_the_mend(own_redis) -> None:
    server = await own_redis({"maxmemory-policy": "allkeys-lru"})
    with pytest.raises(ConfigError, match="config set maxmemory-policy noeviction"):
        await checked(server.url)


@pytest.mark.parametrize(("policy", "passes"), [("noeviction", True), ("volatile-lru", False)])
async def test_where_config_is_forbidden_info_is_asked(own_redis, policy: str, passes: bool) -> None:
    server = await own_redis({"maxmemory-policy": policy, "user": "limited on >hush ~* &* +@all -config"})
    url = f"redis://limited:hush@127.0.0.1:{server.port}/0"
    if passes:
        await checked(url)
    else:
        with pytest.raises(ConfigError, match="maxmemory-policy is volatile-lru") as caught:
            await checked(url)
        assert "hush" not in str(caught.value)


async def test_a_wrong_password_and_a_missing_one_are_told_without_it(own_redis) -> None:
    server = await own_redis({"requirepass": "hush"})
    for url in (server.url.replace("hush", "wr0ng"), server.url.replace(":hush@", "")):
        with pytest.raises(Unreachable, match="login refused; check user and password") as caught:
            await checked(url)
        assert "wr0ng" not in str(caught.value)
        assert "\n" not in str(caught.value)


async def test_nobody_there_is_told_with_the_mend(free_port) -> None:
    with pytest.raises(Unreachable, match="connection refused; is redis-server running there"):
        await checked(f"redis://127.0.0.1:{free_port()}/0")


async def test_a_missing_unix_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no such socket"):
        await checked(f"unix://{tmp_path}/none.sock")


async def test_a_paused_server_is_told(own_redis, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await own_redis()
    monkeypatch.setattr(redis_connection, "SOCKET_TIMEOUT_S", 0.05)
    server.pause()
    with pytest.raises(Unreachable, match=r"no answer within 0\.05 s"):
        await checked(server.url)
    server.resume()


async def test_a_write_whose_answer_is_lost_is_not_sent_again(own_redis, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await own_redis()
    monkeypatch.setattr(redis_connection, "SOCKET_TIMEOUT_S", 0.05)
    client = connect(settings(server.url))
    await client.ping()
    server.pause()
    with pytest.raises((RedisConnectionError, RedisTimeoutError)):
        await client.incr("count")
    server.resume()
    assert await client.get("count") in {None, b"1"}
    await client.aclose()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the host name is unknown"),
        (ssl.SSLError("wrong version number"), "TLS failed"),
        (TimeoutError(), "no answer within"),
        (RedisConnectionError("Connection closed by server."), "Connection closed by server."),
    ],
)
def test_errors_are_one_line_for_people(error: Exception, text: str) -> None:
    told = str(explain(error, "redis://host"))
    assert told.startswith("redis://host: ")
    assert text in told


def test_a_url_that_cannot_be_right_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        connect(settings("redis://u:hush@host:port"))
    assert "hush" not in str(caught.value)


def test_an_address_is_taken_apart_by_the_rules_of_redis_py() -> None:
    to = address("rediss://me:p%40ss@example.org:7000/4")
    assert (to.host, to.port, to.username, to.password, to.database, to.path) == (
        "example.org", 7000, "me", "p@ss", 4, None,
    )  # fmt: skip
    assert isinstance(to.tls, ssl.SSLContext)
    assert to.tls.verify_mode is ssl.CERT_REQUIRED
    assert "p%40ss" not in to.shown
    assert address("unix:///run/redis.sock?db=2").path == "/run/redis.sock"
    assert address("redis://host").tls is None


def test_only_this_module_and_its_callers_build_clients() -> None:
    """`redis.asyncio` may be imported for its types; building is here."""
    sources = Path(redis_connection.__file__).parent.glob("*.py")
    builders = {path.name for path in sources if ".from_url(" in path.read_text() or ".from_pool(" in path.read_text()}
    assert builders == {"redis_connection.py"}
    assert redis.asyncio.Redis
