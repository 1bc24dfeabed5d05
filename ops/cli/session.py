"""What commands share for reading Redis: a client for the length of a command, the fleet's keys, errors for people."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from fleet.errors import LayoutMismatch
from fleet.keys import KEY_VERSION, Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from fleet.config import Settings

T = TypeVar("T")


class Session(NamedTuple):
    """One command's view of a fleet."""

    redis: "Redis"
    keys: Keys
    settings: "Settings"


def settings(**flags: Any) -> "Settings":
    """The settings, `flags` over environment over file, with logging set up by them (stderr). Raises ConfigError."""
    from fleet import config, logs

    loaded = config.load(flags)
    logs.set_up(loaded.log_level, loaded.log_format, secrets=_secrets(loaded))
    return loaded


def _secrets(known: "Settings") -> list[str]:
    """Passwords and tokens, as they are written and as they are sent."""
    from urllib.parse import parse_qs, unquote, urlsplit

    urls = [url.get_secret_value() for url in (known.redis_url, known.database_url, known.clickhouse_url) if url]
    found = [password for url in urls if (password := urlsplit(url).password)]
    found += [
        word
        for url in urls
        for name, words in parse_qs(urlsplit(url).query).items()
        if "password" in name
        for word in words
    ]
    found += [unquote(password) for password in found]
    return [*found, known.api_token.get_secret_value()] if known.api_token else found


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)


@contextmanager
def redis_errors(known: "Settings") -> Iterator[None]:
    """Errors of redis-py become ours: one line with the mend, never with the password."""
    from redis.exceptions import RedisError

    from fleet.config import redact_url
    from fleet.redis_connection import explain

    try:
        yield
    except (RedisError, OSError) as error:
        raise explain(error, redact_url(known.redis_url.get_secret_value())) from error


@asynccontextmanager
async def fleet_session(known: "Settings") -> AsyncIterator[Session]:
    """A client and the keys of the fleet that lives in this Redis. Raises Unreachable, LayoutMismatch, ConfigError."""
    from fleet.redis_connection import connect

    client = connect(known, name="fleet-cli")
    try:
        with redis_errors(known):
            yield Session(client, Keys(known.namespace, await shards(client, known)), known)
    finally:
        await client.aclose()


async def shards(client: "Redis", known: "Settings") -> int:
    """The number of shards of the fleet in this Redis; the setting where no daemon has run yet. Raises LayoutMismatch."""
    from books.wire import WIRE_VERSION
    from fleet.layout import read_layout

    layout = await read_layout(client, Keys(known.namespace))
    if layout is None:
        return known.shards
    if (layout.key_version, layout.wire_version) != (KEY_VERSION, WIRE_VERSION):
        raise LayoutMismatch(
            f"the fleet in this Redis has key version {layout.key_version} and wire version {layout.wire_version}, this "
            f"program {KEY_VERSION} and {WIRE_VERSION}: use the program of that version"
        )
    return layout.shards
