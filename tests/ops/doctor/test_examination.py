"""`fleet doctor` as a whole, and as a command."""

import json

from tests.support.commands import run_fleet

NAMES = {
    *("python", "event loop", "open files", "redis", "redis role", "redis eviction", "redis memory"),
    *("redis persistence", "redis latency", "redis clock", "redis hash tables", "redis rights", "redis scripts"),
    *("redis layout", "sql", "sql schema", "sql rights", "sql clock", "clickhouse", "clickhouse schema"),
}


def test_a_whole_installation_is_found_well(redis_url, mariadb_url, clickhouse_url):
    servers = {
        "FLEET_REDIS_URL": redis_url, "FLEET_DATABASE_URL": mariadb_url, "FLEET_CLICKHOUSE_URL": clickhouse_url,
    }  # fmt: skip
    assert run_fleet("init", **servers).code == 0
    ended = run_fleet("doctor", "--json", **servers)
    checks = {check["name"]: check for check in ended.json}
    assert checks.keys() == NAMES
    assert all(check.keys() == {"name", "status", "detail", "mend"} for check in ended.json)
    assert [check for check in ended.json if check["status"] == "fail"] == []
    assert ended.code == 0
    assert all(check["mend"] for check in ended.json if check["status"] != "ok")
    assert "secret" not in json.dumps(ended.json), "the password of MariaDB"


def test_a_failed_check_ends_with_1_and_tells_the_mend():
    ended = run_fleet("doctor", FLEET_REDIS_URL="redis://127.0.0.1:1")
    assert ended.code == 1
    assert "connection refused" in ended.out
    assert "→ is redis-server running there?" in ended.out
    as_json = run_fleet("doctor", "--json", FLEET_REDIS_URL="redis://127.0.0.1:1")
    assert as_json.code == 1
    [redis] = [check for check in as_json.json if check["name"] == "redis"]
    assert redis["status"] == "fail"
