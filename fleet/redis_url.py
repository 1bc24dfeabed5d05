"""PURE. FLEET_REDIS_URL taken apart: one server, servers behind Sentinels, or a Cluster.

    redis://user:password@host:6379/0            rediss:// the same by TLS; unix:///path/to.sock
    redis+sentinel://user:password@host1:26379,host2:26379/SERVICE/0     credentials and database are those of the servers;
                                                 ?sentinel_username=…&sentinel_password=… are those of the sentinels
    redis+cluster://user:password@host1:6379,host2:6379      some nodes; the others are learned. No database but 0.
    rediss+sentinel://, rediss+cluster://        every connection by TLS

What stands after `?` are redis-py's options of a connection (ssl_ca_certs=/path, ssl_certfile, ssl_keyfile,
ssl_check_hostname=false …), the same for every server.
"""

from enum import StrEnum
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from fleet.errors import ConfigError

REDIS_PORT = 6379
SENTINEL_PORT = 26379
SCHEMES = (
    *("redis", "rediss", "unix"),
    *("redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
)
_OF_SENTINELS = {"sentinel_username", "sentinel_password"}


class Form(StrEnum):
    """What is behind a URL."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class HostPort(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class RedisUrl(NamedTuple):
    """`hosts`: sentinels, or some nodes of a Cluster; empty for one server, whose `url` redis-py reads itself."""

    form: Form
    url: str
    hosts: tuple[HostPort, ...] = ()
    service: str = ""
    scheme: str = "redis"
    login: str = ""
    database: int = 0
    query: str = ""
    sentinel_login: str = ""

    def of_server(self, at: HostPort) -> str:
        """The redis:// or rediss:// URL of one server of the topology."""
        return f"{self.scheme}://{self.login}{at}/{self.database}{self.query}"

    def of_sentinel(self, at: HostPort) -> str:
        """The URL of one sentinel."""
        return f"{self.scheme}://{self.sentinel_login}{at}/0{self.query}"


def is_cluster(url: str) -> bool:
    """Whether the scheme names a Cluster."""
    return url.partition("://")[0].endswith("+cluster")


def parse_redis_url(url: str) -> RedisUrl:
    """Take a URL apart. Raises ConfigError: what is wrong with it, without its passwords."""
    scheme, _, kind = url.partition("://")[0].partition("+")
    if not kind:
        return RedisUrl(Form.SERVER, url)
    if kind not in {"sentinel", "cluster"} or scheme not in {"redis", "rediss"}:
        raise ConfigError(f"FLEET_REDIS_URL: expected one of {', '.join(f'{name}://' for name in SCHEMES)}")
    form = Form(kind)
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    sentinel_options, options = _split_query(parts.query)
    service, database = _path(form, parts.path)
    return RedisUrl(
        form,
        url,
        tuple(_host(text, SENTINEL_PORT if form is Form.SENTINEL else REDIS_PORT) for text in hosts.split(",")),
        service,
        scheme,
        login + at,
        database,
        f"?{options}" if options else "",
        _login(sentinel_options),
    )


def _split_query(query: str) -> tuple[dict[str, str], str]:
    options = parse_qsl(query, keep_blank_values=True)
    ours = {name: value for name, value in options if name in _OF_SENTINELS}
    return ours, urlencode([(name, value) for name, value in options if name not in _OF_SENTINELS])


def _login(options: dict[str, str]) -> str:
    password = options.get("sentinel_password")
    if password is None:
        return ""
    return f"{quote(options.get('sentinel_username', ''), safe='')}:{quote(password, safe='')}@"


def _path(form: Form, path: str) -> tuple[str, int]:
    """Service and database."""
    words = path.strip("/").split("/") if path.strip("/") else []
    if form is Form.CLUSTER:
        if words not in ([], ["0"]):
            raise ConfigError(f"FLEET_REDIS_URL: a Cluster has database 0 only, got {path!r}")
        return "", 0
    if not words or len(words) > 2 or (len(words) == 2 and not words[1].isdecimal()):
        raise ConfigError(
            f"FLEET_REDIS_URL: expected redis+sentinel://host1:26379,host2:26379/SERVICE/0, got the path {path!r}; "
            "SERVICE is the name after `sentinel monitor`"
        )
    return words[0], int(words[1]) if len(words) == 2 else 0


def _host(text: str, default_port: int) -> HostPort:
    try:
        parts = urlsplit(f"redis://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or text.endswith(":"):
        raise ConfigError(f"FLEET_REDIS_URL: expected host:port,host:port, got {text!r}")
    return HostPort(host, port or default_port)
