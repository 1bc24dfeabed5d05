"""Tasks from CSV and JSON lines."""

from pathlib import Path

import pytest

from fleet.errors import ConfigError
from fleet.pair import Pair
from fleet.tasks import Task, read_tasks

BTC = Pair("binance", "spot", "BTC/USDT")


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    expected = [
        Task("MONITORING", BTC, depth="full", priority=5, channels=frozenset({"book", "trades"})),
        Task("TRADE", BTC, strategy="grid", params={"grid_step": 0.5}, enabled=False),
    ]
    table = write(
        tmp_path,
        "tasks.csv",
        "venue,market,pair,depth,priority,channels,strategy,params,enabled\n"
        'Binance,spot,btc/usdt,full,5,"book,trades",,,\n'
        'binance,spot,BTC/USDT,,,,grid,"{""grid_step"": 0.5}",no\n',
    )
    lines = write(
        tmp_path,
        "tasks.jsonl",
        '{"venue":"binance","market":"spot","pair":"BTC/USDT","depth":0,"priority":5,"channels":["trades","book"]}\n\n'
        '{"venue":"binance","market":"spot","pair":"BTC/USDT","strategy":"grid","params":{"grid_step":0.5},"enabled":false}\n',
    )
    assert read_tasks(table) == expected
    assert read_tasks(lines) == expected


def test_what_list_prints_can_be_read_again(tmp_path: Path) -> None:
    import json

    task = Task("TRADE", BTC, id=9, strategy="grid", params={"levels": 3}, account="main")
    [again] = read_tasks(write(tmp_path, "a.jsonl", json.dumps(task.as_json())))
    assert again.identity == task.identity
    assert again.id == 0


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "exchange,pair\n", "line 1: expected a header with venue,market,pair"),
        ("a.csv", "venue,market,pair\nbinance,spot,BTC/USDT,x\n", "line 2: more values"),
        ("a.csv", "venue,market,pair\nbinance,margin,BTC/USDT\n", "line 2: market 'margin'"),
        ("a.jsonl", "{}\n", "line 1: venue is missing"),
        ("a.jsonl", "\n[1]\n", "line 2: expected an object"),
        ("a.jsonl", "{\n", "line 1: not JSON"),
        ("a.jsonl", '{"venue":"b","market":"spot","pair":"A/B","size":1}', "unknown field 'size'"),
        ("a.jsonl", '{"venue":"b","market":"spot","pair":"A/B","priority":"high"}', "priority 'high'"),
        ("a.jsonl", '{"venue":"b","market":"spot","pair":"A/B","enabled":"perhaps"}', "enabled 'perhaps'"),
        ("a.jsonl", '{"venue":"b","market":"spot","pair":"A/B","depth":30}', "depth '30'"),
        (
            "a.jsonl",
            '{"venue":"b","market":"spot","pair":"A/B","strategy":"grid","channels":["book","trades"]}',
            "line 1: channels book, trades: a task with a strategy has book",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, name: str, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_tasks(write(tmp_path, name, text))
    assert expected in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.csv: No such file"):
        read_tasks(tmp_path / "nothing.csv")
