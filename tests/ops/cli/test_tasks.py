"""`fleet tasks`, on MariaDB and on SQLite."""

import json

import pytest

from tests.support.commands import assert_one_line, run_fleet

BBO = '{"order_size": "0.01"}'


@pytest.fixture
def sqlite(sqlite_url):
    """A database with its tables."""
    assert run_fleet("init", FLEET_DATABASE_URL=sqlite_url).code == 0
    return sqlite_url


@pytest.fixture
def mariadb(mariadb_url):
    assert run_fleet("init", FLEET_DATABASE_URL=mariadb_url).code == 0
    return mariadb_url


def tasks(*arguments: str, url: str):
    return run_fleet("tasks", *arguments, FLEET_DATABASE_URL=url)


@pytest.mark.parametrize("kind", ["sqlite", "mariadb"])
def test_tasks_are_added_listed_and_removed(request, kind):
    url = request.getfixturevalue(kind)
    added = tasks(
        "add", "Binance", "spot", "btc/usdt", "ETH/USDT", "--depth", "full", "--priority", "5", "--json", url=url
    )
    assert (added.code, added.err) == (0, "")
    trade = (
        *("add", "okx", "futures", "BTC/USDT", "--strategy", "bbo", "--params", BBO),
        *("--account", "desk", "--mode", "paper", "--json"),
    )
    assert tasks(*trade, url=url).code == 0
    listed = tasks("list", "--json", url=url).json
    expected = {
        "table": "MONITORING", "venue": "binance", "market": "spot", "pair": "BTC/USDT", "depth": "full", "priority": 5,
        "enabled": True, "channels": ["book"],
    }  # fmt: skip
    assert {name: listed[0][name] for name in expected} == expected
    assert listed[:2] == added.json
    assert {name: listed[2][name] for name in ("table", "strategy", "account", "mode", "depth")} == {
        "table": "TRADE", "strategy": "bbo", "account": "desk", "mode": "paper", "depth": "20",
    }  # fmt: skip
    assert tasks("remove", "binance", "spot", "BTC/USDT", "ETH/USDT", url=url).out == "removed 2 tasks\n"
    assert [task["table"] for task in tasks("list", "--json", url=url).json] == ["TRADE"]


def test_what_is_there_is_not_added_again(sqlite):
    first = tasks("add", "okx", "spot", "BTC/USDT", "--json", url=sqlite).json
    assert tasks("add", "okx", "spot", "BTC/USDT", "--json", url=sqlite).json == first
    assert len(tasks("list", "--json", url=sqlite).json) == 1


def test_people_see_a_table(sqlite):
    tasks("add", "okx", "spot", "BTC/USDT", url=sqlite)
    out = tasks("list", url=sqlite).out
    assert "okx spot BTC/USDT" in out
    assert "MONITORING" in out


def test_no_tasks_is_an_empty_list(sqlite):
    ended = tasks("list", "--json", url=sqlite)
    assert (ended.code, ended.json) == (0, [])
    assert_one_line(tasks("list", url=sqlite), 0, "no tasks", "fleet tasks add")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["binnance", "spot", "BTC/USDT"], ["'binnance'", "did you mean binance?"]),
        (["zzz", "spot", "BTC/USDT"], ["'zzz'", "expected one of", "okx"]),
        (["okx", "margin", "BTC/USDT"], ["'margin'", "spot or futures"]),
        (["okx", "spot", "BTC-USDT"], ["'BTC-USDT'", "BASE/QUOTE"]),
        (["okx", "spot", "BTC/USDT", "--depth", "17"], ["'17'", "20, 50"]),
        (["okx", "spot", "BTC/USDT", "--channels", "book,candles"], ["'candles'", "book, bbo, trades"]),
        (["okx", "spot", "BTC/USDT", "--priority", "high"], ["--priority", "`fleet tasks add --help`"]),
        (["okx", "spot", "BTC/USDT", "--strategy", "gird"], ["'gird'", "did you mean grid?"]),
        (["okx", "spot", "BTC/USDT", "--strategy", "bbo", "--params", "{nope"], ["params", "not JSON"]),
        (["okx", "spot", "BTC/USDT", "--strategy", "bbo", "--params", "[1]"], ["params", "JSON object"]),
        (
            ["okx", "spot", "BTC/USDT", "--strategy", "bbo", "--params", '{"order_size": "1", "colour": 1}'],
            ["colour", "known are"],
        ),
        (["okx", "spot", "BTC/USDT", "--strategy", "bbo", "--mode", "demo"], ["'demo'", "paper or live"]),
        (["okx", "spot", "BTC/USDT", "--account", "desk"], ["TRADE", "strategy"]),
        (["okx", "spot", "BTC/USDT", "--strategy", "bbo", "--channels", "bbo"], ["--channels", "add two tasks"]),
    ],
)
def test_a_task_that_cannot_be_right_is_one_line_and_nothing_is_stored(sqlite, arguments, words):
    assert_one_line(tasks("add", *arguments, url=sqlite), 2, *words)
    assert tasks("list", "--json", url=sqlite).json == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["coinex", "spot", "BTC/USDT"],
            ["coinex spot is off by default: ", "COINEX__SPOT__ENABLED=true", "not served"],
        ),
        (["hyperliquid", "futures", "BTC/USDC"], ["hyperliquid futures, depth 50: ", "20 levels"]),
        (["okx", "spot", "BTC/USDT", "--channels", "trades"], ["okx:spot:BTC/USDT: trades without book", "never live"]),
    ],
)
def test_what_a_venue_cannot_give_is_noted_and_the_task_is_kept(sqlite, arguments, words):
    added = tasks("add", *arguments, url=sqlite)
    assert added.code == 0
    [note] = added.err.splitlines()
    assert [word for word in words if word not in note] == []
    assert len(tasks("list", "--json", url=sqlite).json) == 1


def test_one_wrong_pair_of_many_stores_none(sqlite):
    assert_one_line(tasks("add", "okx", "spot", "BTC/USDT", "nope", url=sqlite), 2, "'NOPE'")
    assert tasks("list", "--json", url=sqlite).json == []


def test_removing_what_is_not_there_is_said(sqlite):
    assert_one_line(tasks("remove", "okx", "spot", "BTC/USDT", url=sqlite), 1, "BTC/USDT", "fleet tasks list")
    assert_one_line(tasks("remove", "okx", "spot", "BTC/USDT", "--table", "trdae", url=sqlite), 2, "trdae", "trade")


def test_one_table_is_removed_alone(sqlite):
    tasks("add", "okx", "spot", "BTC/USDT", url=sqlite)
    tasks("add", "okx", "spot", "BTC/USDT", "--strategy", "bbo", "--params", BBO, url=sqlite)
    assert tasks("remove", "okx", "spot", "BTC/USDT", "--table", "trade", url=sqlite).out == "removed 1 task\n"
    assert [task["table"] for task in tasks("list", "--json", url=sqlite).json] == ["MONITORING"]


def test_a_file_is_imported_whole_or_not_at_all(sqlite, tmp_path):
    file = tmp_path / "tasks.csv"
    file.write_text("venue,market,pair,depth\nokx,spot,BTC/USDT,full\nbinance,futures,ETH/USDT,20\n")
    assert len(tasks("import", str(file), "--json", url=sqlite).json) == 2
    file.write_text("venue,market,pair\nokx,spot,SOL/USDT\nbinnance,spot,BTC/USDT\n")
    assert_one_line(tasks("import", str(file), url=sqlite), 2, "tasks.csv", "binnance", "did you mean binance?")
    file.write_text("venue,market,pair\nokx,spot,SOL/USDT\nokx,spot,SOLUSDT\n")
    assert_one_line(tasks("import", str(file), url=sqlite), 2, "tasks.csv line 3", "BASE/QUOTE")
    lines = tmp_path / "tasks.jsonl"
    lines.write_text(json.dumps({"venue": "okx", "market": "spot", "pair": "SOL/USDT", "strategy": "gird"}) + "\n")
    assert_one_line(tasks("import", str(lines), url=sqlite), 2, "tasks.jsonl", "did you mean grid?")
    trade = {"venue": "okx", "market": "spot", "pair": "SOL/USDT", "strategy": "bbo", "params": {"order_size": "1"}}
    lines.write_text(json.dumps({**trade, "channels": ["book", "trades"]}) + "\n")
    assert_one_line(tasks("import", str(lines), url=sqlite), 2, "tasks.jsonl line 1", "channels", "second task")
    assert_one_line(tasks("import", str(tmp_path / "none.csv"), url=sqlite), 2, "none.csv", "No such file")
    assert len(tasks("list", "--json", url=sqlite).json) == 2


def test_missing_tables_name_fleet_init(sqlite_url):
    assert_one_line(tasks("list", url=sqlite_url), 5, "MONITORING", "fleet init")


def test_no_database_is_said(redis_url):
    assert_one_line(run_fleet("tasks", "list"), 2, "FLEET_DATABASE_URL is not set", "mysql://")


def test_a_database_that_is_not_there_is_one_line_without_the_password():
    ended = tasks("list", url="mysql://user:hidden-word@127.0.0.1:1/fleet")
    assert_one_line(ended, 4, "mysql://127.0.0.1:1/fleet", "does not answer")
    assert "hidden-word" not in ended.err


def test_a_wrong_password_is_one_line_without_it(mariadb_server):
    ended = tasks("list", url=f"mysql://fleet:hidden-word@127.0.0.1:{mariadb_server.port}/fleet")
    assert_one_line(ended, 4, "refused the login", "FLEET_DATABASE_URL")
    assert "hidden-word" not in ended.err
