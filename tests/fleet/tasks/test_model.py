"""Tasks, merging and differences."""

import pytest

from fleet.errors import ConfigError
from fleet.pair import Pair
from fleet.tasks import Diff, Task, Wanted, diff, merge
from fleet.tasks.model import parse_depth

BTC = Pair("binance", "spot", "BTC/USDT")
ETH = Pair("binance", "futures", "ETH/USDT")
BOOK = frozenset({"book"})


def test_a_pair_asked_for_twice_gets_the_deepest_book_every_channel_and_the_highest_priority() -> None:
    tasks = [
        Task("MONITORING", BTC, depth="bbo", priority=1),
        Task("MONITORING", BTC, depth="50", priority=7, channels=frozenset({"trades"})),
        Task("TRADE", BTC, depth="20", priority=3, strategy="grid"),
    ]
    assert merge(tasks) == (Wanted(BTC, "50", frozenset({"bbo", "book", "trades"}), 7, traded=True),)


def test_depths_rise_from_bbo_over_20_and_50_to_full() -> None:
    for deeper, shallower in (("20", "bbo"), ("50", "20"), ("full", "50")):
        for depths in ((deeper, shallower), (shallower, deeper)):
            [wanted] = merge(Task("MONITORING", BTC, depth=depth) for depth in depths)
            assert wanted.depth == deeper


def test_the_same_pair_in_two_markets_stays_two_pairs() -> None:
    assert len(merge([Task("MONITORING", BTC), Task("MONITORING", BTC._replace(market="futures"))])) == 2


def test_disabled_tasks_and_priority_zero_ask_for_nothing() -> None:
    assert merge([Task("MONITORING", BTC, enabled=False), Task("MONITORING", ETH, priority=0)]) == ()


def test_the_highest_priority_comes_first() -> None:
    wanted = merge([Task("MONITORING", BTC, priority=1), Task("MONITORING", ETH, priority=5)])
    assert [one.pair for one in wanted] == [ETH, BTC]


def test_a_difference_says_what_is_new_gone_and_changed() -> None:
    stays = Wanted(Pair("okx", "spot", "A/USDT"), "20", BOOK, 1, traded=False)
    gone = Wanted(BTC, "20", BOOK, 1, traded=False)
    before, after = Wanted(ETH, "20", BOOK, 1, traded=False), Wanted(ETH, "full", BOOK, 1, traded=False)
    new = Wanted(BTC._replace(venue="bybit"), "20", BOOK, 1, traded=False)
    assert diff([stays, gone, before], [stays, after, new]) == Diff((new,), (gone,), (after,))


def test_no_change_is_an_empty_difference() -> None:
    wanted = merge([Task("MONITORING", BTC)])
    assert diff(wanted, wanted) == Diff((), (), ())


def test_defaults_follow_the_table_and_the_depth() -> None:
    watched = Task("MONITORING", BTC)
    assert (watched.depth, watched.channels) == ("50", BOOK)
    assert Task("MONITORING", BTC, depth="bbo").channels == {"bbo", "book"}
    assert Task("TRADE", BTC, strategy="grid", depth="bbo").channels == {"bbo", "book"}
    traded = Task("TRADE", BTC, strategy="grid")
    assert (traded.depth, traded.mode, traded.account) == ("20", "paper", "paper")


def test_json_has_the_fields_of_the_contract() -> None:
    assert Task("MONITORING", BTC, id=3).as_json() == {
        "id": 3,
        "table": "MONITORING",
        "venue": "binance",
        "market": "spot",
        "pair": "BTC/USDT",
        "depth": "50",
        "priority": 1,
        "enabled": True,
        "channels": ["book"],
    }
    shown = Task("TRADE", BTC, strategy="grid", params={"levels": 2}, account="main", mode="live").as_json()
    assert (shown["strategy"], shown["params"], shown["account"], shown["mode"]) == (
        "grid",
        {"levels": 2},
        "main",
        "live",
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"table": "ORDERS"}, "expected MONITORING or TRADE"),
        ({"depth": "30"}, "depth '30'"),
        ({"channels": frozenset({"candles"})}, "channel 'candles'"),
        ({"table": "TRADE"}, "has no strategy"),
        ({"table": "TRADE", "strategy": "grid", "mode": "real"}, "mode 'real': expected paper or live"),
        ({"strategy": "grid"}, "belong to a TRADE task"),
    ],
)
def test_a_task_that_cannot_be_right_is_refused(values: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Task(**{"table": "MONITORING", "pair": BTC, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "depth"), [(1, "bbo"), (0, "full"), ("20", "20"), (50, "50"), ("FULL", "full")])
def test_depth_numbers_of_sql_are_understood(text: object, depth: str) -> None:
    assert parse_depth(text) == depth
