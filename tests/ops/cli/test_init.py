"""`fleet init`."""

from tests.support.commands import assert_one_line, run_fleet


def test_nothing_configured_is_said():
    assert_one_line(run_fleet("init"), 2, "FLEET_DATABASE_URL", "FLEET_CLICKHOUSE_URL")


def test_sql_tables_are_made_and_it_is_safe_to_repeat(mariadb_url):
    for _ in range(2):
        ended = run_fleet("init", FLEET_DATABASE_URL=mariadb_url)
        assert ended.code == 0
        assert "MONITORING" in ended.out
        assert "TRADE" in ended.out
        assert_one_line(ended, 0, "FLEET_CLICKHOUSE_URL is not set")
        assert "secret" not in ended.out


def test_the_tables_of_history_are_made_and_it_is_safe_to_repeat(clickhouse_url):
    for _ in range(2):
        ended = run_fleet("init", FLEET_CLICKHOUSE_URL=clickhouse_url)
        assert ended.code == 0, ended.err
        assert "orderbook_deltas" in ended.out
        assert_one_line(ended, 0, "FLEET_DATABASE_URL is not set")


def test_servers_that_are_not_there_are_one_line(sqlite_url):
    assert_one_line(run_fleet("init", FLEET_DATABASE_URL="mysql://u:p@127.0.0.1:1/fleet"), 4, "does not answer")
    ended = run_fleet("init", FLEET_CLICKHOUSE_URL="clickhouse://u:p@127.0.0.1:1/fleet")
    assert ended.code == 4
    assert "connection refused" in ended.err
