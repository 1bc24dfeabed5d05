"""What commands share."""

import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError

from fleet.config import Settings
from fleet.errors import LayoutMismatch, Unreachable
from ops.cli import session
from tests.support.small_fleet import small_fleet


async def test_a_session_takes_the_shards_of_the_fleet_in_redis(redis_url):
    known = Settings(redis_url=SecretStr(redis_url), shards=16)
    async with session.fleet_session(known) as fresh:
        assert fresh.keys.shards == 16
    async with small_fleet(redis_url, shards=5), session.fleet_session(known) as found:
        assert found.keys.shards == 5


async def test_another_key_version_is_refused(redis_url):
    async with small_fleet(redis_url) as fleet:
        await fleet.client.hset(fleet.keys.layout(), "key_version", "9")
        with pytest.raises(LayoutMismatch, match="key version 9"):
            async with session.fleet_session(Settings(redis_url=SecretStr(redis_url))):
                pass


def test_errors_of_redis_become_ours_without_the_password():
    known = Settings(redis_url=SecretStr("redis://me:hidden-word@host:1/0"))
    with pytest.raises(Unreachable) as raised, session.redis_errors(known):
        raise RedisConnectionError("reset by peer")
    assert "hidden-word" not in str(raised.value)
    assert "redis://me:***@host:1/0" in str(raised.value)
