"""fleet/redis_url.py: what a URL says, and what is refused; the settings that follow from it."""

import pytest

from fleet.config import Settings, load, redact_url
from fleet.errors import ConfigError
from fleet.redis_connection import address, connect
from fleet.redis_url import Form, HostPort, is_cluster, parse_redis_url


def test_a_cluster_has_hosts_and_one_login_for_all() -> None:
    url = parse_redis_url("rediss+cluster://me:p%40ss@one:7000,two,[::1]:7002/0?ssl_ca_certs=/ca.pem")
    assert url.form is Form.CLUSTER
    assert url.hosts == (HostPort("one", 7000), HostPort("two", 6379), HostPort("::1", 7002))
    to = address(url.of_server(HostPort("::1", 7002)).replace("?ssl_ca_certs=%2Fca.pem", ""))
    assert (to.host, to.port, to.username, to.password) == ("::1", 7002, "me", "p@ss")
    assert to.tls is not None


def test_sentinels_have_a_service_a_database_and_logins_of_their_own() -> None:
    url = parse_redis_url(
        "redis+sentinel://me:hush@one:26379,two/books/3?sentinel_username=s&sentinel_password=p%40q&socket_timeout=2"
    )
    assert (url.form, url.service, url.database) == (Form.SENTINEL, "books", 3)
    assert url.hosts == (HostPort("one", 26379), HostPort("two", 26379))
    assert url.of_server(HostPort("three", 6379)) == "redis://me:hush@three:6379/3?socket_timeout=2"
    assert url.of_sentinel(url.hosts[0]) == "redis://s:p%40q@one:26379/0?socket_timeout=2"


def test_one_server_is_left_to_redis_py() -> None:
    for text in ("redis://host/1", "rediss://host", "unix:///run/redis.sock"):
        assert parse_redis_url(text) == (Form.SERVER, text, (), "", "redis", "", 0, "", "")
        assert not is_cluster(text)
    assert is_cluster("redis+cluster://host")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis+sentinel://host", "SERVICE/0"),
        ("redis+sentinel://host/books/one", "SERVICE/0"),
        ("redis+sentinel://host/books/0/1", "SERVICE/0"),
        ("redis+cluster://host/2", "a Cluster has database 0 only"),
        ("redis+cluster://host:port", "expected host:port,host:port, got 'host:port'"),
        ("redis+cluster://one:1,,two:2", "expected host:port,host:port, got ''"),
        ("redis+other://host", "expected one of redis://"),
        ("unix+cluster://host", "expected one of redis://"),
    ],
)
def test_what_cannot_be_right_is_told(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match="FLEET_REDIS_URL") as caught:
        parse_redis_url(url.replace("://", "://me:hush@"))
    assert told in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["redis+cluster://me:hush@host", "redis+sentinel://me:hush@host/books/0"])
def test_an_option_that_redis_py_does_not_know_is_told_before_anything_connects(scheme: str) -> None:
    with pytest.raises(ConfigError, match="socket_timeout") as caught:
        connect(Settings(redis_url=f"{scheme}?socket_timeout=soon"))
    assert "hush" not in str(caught.value)


def test_passwords_in_options_are_not_shown() -> None:
    shown = redact_url("redis+sentinel://me:hush@a:1,b:2/books/0?sentinel_password=quiet&ssl_ca_certs=/ca.pem")
    assert shown == "redis+sentinel://me:***@a:1,b:2/books/0?sentinel_password=***&ssl_ca_certs=/ca.pem"


def test_a_cluster_has_64_shards_unless_told_and_never_fewer() -> None:
    cluster = {"FLEET_REDIS_URL": "redis+cluster://host"}
    assert load(environ=cluster).shards == 64
    assert load(environ={**cluster, "FLEET_SHARDS": "100"}).shards == 100
    assert load(environ={"FLEET_REDIS_URL": "redis://host"}).shards == 16
    with pytest.raises(ConfigError, match="FLEET_SHARDS: a Cluster needs 64 or more"):
        load(environ={**cluster, "FLEET_SHARDS": "16"})
