"""A daemon and every command as the least privileged user of Redis that OPERATING.md names: nothing is ever refused."""

import shlex
from pathlib import Path

import redis.asyncio

from fleet.pair import Pair
from monitor.clickhouse import create_schema
from ops.doctor.redis_rights import acl_rules
from tests.support.commands import REPOSITORY, run_fleet
from tests.support.fleet_processes import fleet_on

PAIRS = [Pair("okx", "spot", "BTC/USDT"), Pair("binance", "spot", "ETH/USDT")]


class AsUser:
    """A server, by the URL of a user of it."""

    def __init__(self, port: int, login: str) -> None:
        self.url = f"redis://{login}@127.0.0.1:{port}/0"


async def test_a_user_with_the_documented_rights_is_refused_nothing(
    own_redis, venues, clickhouse_url, tmp_path: Path, wait_until
):
    server = await own_redis({"user": f"fleet on >hush {acl_rules('')}"})
    await create_schema(clickhouse_url)
    more = {"FLEET_ROLES": "feed,monitor", "FLEET_CLICKHOUSE_URL": clickhouse_url}
    async with fleet_on(AsUser(server.port, "fleet:hush"), venues, tmp_path / "fleet", PAIRS, **more) as fleet:
        daemon = fleet.daemon()

        async def live() -> bool:
            status = await fleet.command("status", "--json")
            return [row["status"] for row in status.json["pairs"]] == ["live", "live"]

        await wait_until(live, f"live pairs: {daemon}", 40)
        assert (await fleet.command("book", *PAIRS[0], "--json")).code == 0
        assert (await fleet.command("watch", *PAIRS[0], "--seconds", "1")).code == 0
        doctor = await fleet.command("doctor", "--json")
        assert [check for check in doctor.json if check["status"] == "fail"] == []
        daemon.terminate()
        assert await daemon.ended() == 0
    async with redis.asyncio.Redis.from_url(server.url) as client:
        assert await client.acl_log() == []
        denied = await client.acl_dryrun("fleet", "SET", "elsewhere", "1")
        assert "no permissions" in str(denied)


async def test_the_doctor_names_the_rules_that_are_missing(own_redis, tmp_path: Path):
    server = await own_redis({"user": f"fleet on >hush {acl_rules('').replace('+xautoclaim', '')}"})
    settings = {"FLEET_REDIS_URL": AsUser(server.port, "fleet:hush").url}
    checks = {check["name"]: check for check in run_fleet("doctor", "--json", **settings).json}
    assert checks["redis rights"]["status"] == "fail"
    assert "XAUTOCLAIM" in checks["redis rights"]["detail"]
    assert "+xautoclaim" in checks["redis rights"]["mend"]


def test_a_namespace_is_one_pattern():
    assert acl_rules("mine:").split()[:3] == ["resetchannels", "~mine:*", "-@all"]


def test_the_rules_stand_in_the_manual():
    """As a command for a shell, over several lines."""
    manual = (REPOSITORY / "ops" / "OPERATING.md").read_text()
    command = manual[manual.index("redis-cli ACL SETUSER") :].split("\n\n")[0].replace("\\\n", " ")
    assert shlex.split(command)[3:] == ["fleet", "on", ">PASSWORD", *acl_rules("").split()]
