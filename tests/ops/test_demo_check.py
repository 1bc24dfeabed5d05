"""The demo's judge: content with what is right, and not content with a single row too few, too many or other than it was."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from books.events import Snapshot, SnapshotReason
from fleet import clock
from fleet.config import load
from fleet.pair import Pair
from fleet.schema import ORDERS, TRADE_HISTORY, create_schema
from fleet.sql import engine_of, writing
from monitor.clickhouse import ClickHouse
from monitor.clickhouse import create_schema as create_history
from monitor.collector import Collector
from ops.demo_check import Check, Summary
from tests.support.small_fleet import BTC, ETH, SmallFleet, delta, snapshot

ORDER = {
    "CLIENT_ORDER_ID": "c1", "TASK_ID": 1, "ACCOUNT": "paper", "EPOCH": 1, "DAEMON_ID": "d", "EXCHANGE_ID": "binance",
    "MARKET_TYPE": "spot", "TRADE_PAIR": "BTC/USDT", "MODE": "paper", "SIDE": "buy", "PRICE": Decimal(100), "AMOUNT": Decimal(3),
    "FILLED": Decimal("1.5"), "STATE": "PARTIAL", "SLOT": "1", "REASON": "", "ORDER_ID": "c1", "PLACED_US": 1,
}  # fmt: skip
FILL = {
    "DAEMON_ID": "d", "EXCHANGE_ID": "binance", "MARKET_TYPE": "spot", "TRADE_PAIR": "BTC/USDT", "ACCOUNT": "paper",
    "MODE": "paper", "TASK_ID": 1, "EPOCH": 1, "ORDER_ID": "c1", "CLIENT_ORDER_ID": "c1", "VENUE_TRADE_ID": "c1-1",
    "SIDE": "buy", "PRICE": Decimal(100), "AMOUNT": Decimal("0.5"), "COMMISSION": Decimal(0), "COMMISSION_ASSET": "USDT",
    "STATUS": "open", "EXECUTED_AT": datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None),
}  # fmt: skip


@pytest.fixture
async def history(clickhouse_url: str) -> AsyncIterator[ClickHouse]:
    await create_history(clickhouse_url)
    async with ClickHouse(clickhouse_url) as client:
        yield client


@pytest.fixture
async def check(redis_url: str, clickhouse_url: str, sqlite_url: str, history: ClickHouse) -> AsyncIterator[Check]:
    """A check of two pairs."""
    engine = engine_of(sqlite_url)
    await create_schema(engine)
    await engine.dispose()
    settings = load({"redis_url": redis_url, "clickhouse_url": clickhouse_url, "database_url": sqlite_url}, environ={})
    async with Check(settings, [BTC, ETH, BTC]) as made:
        yield made


@pytest.fixture
def collect(fleet_in_redis: SmallFleet, history: ClickHouse) -> Callable[[], object]:
    """`await collect()`: all that is in the streams goes to history."""

    async def run() -> None:
        keys = fleet_in_redis.keys
        collector = Collector(0, range(keys.shards), redis=fleet_in_redis.client, keys=keys, clickhouse=history)
        collector.finish()
        await collector.run()

    return run


@pytest.fixture
async def played(fleet_in_redis: SmallFleet, collect) -> SmallFleet:
    """Two live pairs with some deltas, stored."""
    for pair in (BTC, ETH):
        await fleet_in_redis.make_live(pair)
        for number in range(5):
            await fleet_in_redis.publish(pair, delta(pair, {f"{64_000 + number}": "1.5"}, {}, 8 + number))
    await collect()
    return fleet_in_redis


async def change(history: ClickHouse, statement: str) -> None:
    await history.execute(f"{statement} SETTINGS mutations_sync = 2")


async def test_what_is_right_has_no_complaints(check: Check, played: SmallFleet) -> None:
    assert await check.not_live() == []
    summary = (await check.compare(0)).with_fleet([], 2, 99)
    assert summary == Summary(
        pairs=2,
        deltas_published=12,
        history_rows=12,
        history_gaps=0,
        orders=0,
        fills=0,
        pairs_live=2,
        daemons=2,
        messages=99,
    )
    assert list(summary.as_json()) == [
        *("pairs_live", "pairs", "messages", "deltas_published", "history_rows", "history_gaps", "orders", "fills"),
        "daemons",
    ]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "ALTER TABLE orderbook_deltas DELETE WHERE pair = 'BTC/USDT' AND price_text = '64004'",
            "BTC/USDT: 5 entries in history, 6 in the stream",
        ),
        ("ALTER TABLE orderbook_snapshots DELETE WHERE pair = 'ETH/USDT'", "ETH/USDT: 5 entries in history, "),
        (
            "ALTER TABLE orderbook_deltas UPDATE amount_text = '1.6' WHERE pair = 'BTC/USDT' AND price_text = '64003'",
            "BTC/USDT: the book rebuilt from history",
        ),
        (
            "ALTER TABLE orderbook_deltas UPDATE price_text = '1' WHERE pair = 'ETH/USDT' AND price_text = '64003'",
            "ETH/USDT: the book rebuilt from history",
        ),
    ],
    ids=["the last row is gone", "the first row is gone", "another amount", "another price"],
)
async def test_doctored_history_is_told(check: Check, played, history: ClickHouse, statement: str, words: str) -> None:
    await change(history, statement)
    [complaint] = (await check.compare(0)).complaints
    assert words in complaint


async def test_a_row_too_many_is_told(check: Check, played, history: ClickHouse) -> None:
    await change(
        history,
        "INSERT INTO orderbook_deltas SELECT * REPLACE (n - 1000000 AS n) FROM orderbook_deltas WHERE pair = 'BTC/USDT' LIMIT 1",
    )
    assert "BTC/USDT: 7 entries in history" in (await check.compare(0)).complaints[0]


async def test_a_gap_is_told_even_where_all_else_is_right(check: Check, played, history: ClickHouse) -> None:
    await history.execute(
        "INSERT INTO feed_events (exchange_id, market_type, pair, kind, reason, from_n, to_n) "
        "VALUES ('binance', 'spot', 'BTC/USDT', 'gap', 'hole', 3, 4)"
    )
    summary = await check.compare(0)
    assert summary.history_gaps == 1
    [complaint] = summary.complaints
    assert "1 gaps, the first" in complaint


async def test_history_that_is_late_is_waited_for(check: Check, fleet_in_redis: SmallFleet, collect) -> None:
    for pair in (BTC, ETH):
        await fleet_in_redis.make_live(pair)
    assert len((await check.compare(0)).complaints) == 2
    await collect()
    assert (await check.compare(0)).complaints == []


async def test_a_pair_that_changed_hands_before_its_first_event_is_counted_right(
    check: Check, played, fleet_in_redis: SmallFleet, collect, monkeypatch
) -> None:
    other = Pair("okx", "spot", "SOL/USDT")
    first = await fleet_in_redis.own(other)
    await fleet_in_redis.kill_owner(other)
    assert await fleet_in_redis.own(other, fleet_in_redis.members[1]) > first
    check.pairs.append(other)
    assert (await check.compare(0)).complaints == []
    await fleet_in_redis.publish(other, snapshot(other, {"1": "1"}, {"2": "1"}, 7))
    await collect()
    summary = await check.compare(0)
    assert (summary.complaints, summary.deltas_published) == ([], 13)


async def test_pairs_that_are_not_live_are_named_with_the_reason(check: Check, fleet_in_redis: SmallFleet) -> None:
    await fleet_in_redis.make_live(BTC)
    assert await check.not_live() == [f"{ETH}: no daemon knows it"]
    await fleet_in_redis.beat(fleet_in_redis.members[0], {ETH.label: {"state": "refused", "reason": "not listed"}})
    not_live = await check.not_live()
    assert not_live == [f"{ETH}: refused (not listed)"]
    assert await check.daemons() == 1
    summary = (await check.compare(0)).with_fleet(not_live, 1, 0)
    assert summary.pairs_live == 1
    assert f"only 1 of 2 pairs were live at the end; {ETH}: refused (not listed)" in summary.complaints


async def test_waiting_for_live_pairs_ends_where_the_rest_is_refused(check: Check, fleet_in_redis: SmallFleet) -> None:
    await fleet_in_redis.make_live(BTC)
    started_ms = clock.mono_ms()
    assert await check.wait_live(60, least=1) == 1
    assert await check.wait_live(0.01) == 1
    await fleet_in_redis.beat(fleet_in_redis.members[0], {ETH.label: {"state": "refused", "reason": "not listed"}})
    assert await check.wait_live(60) == 1
    assert clock.mono_ms() - started_ms < 30_000


async def test_an_order_must_be_filled_by_exactly_its_fills(check: Check, played, sqlite_url: str) -> None:
    engine = engine_of(sqlite_url)
    async with writing(engine) as connection:
        await connection.execute(ORDERS.insert().values(ORDER))
        await connection.execute(TRADE_HISTORY.insert().values(FILL))
    assert (await check.compare(0)).complaints == ["order c1: filled 1.5, its fills say 0.5"]
    async with writing(engine) as connection:
        await connection.execute(TRADE_HISTORY.insert().values(FILL | {"VENUE_TRADE_ID": "c1-2", "AMOUNT": Decimal(1)}))
    summary = await check.compare(0)
    assert (summary.complaints, summary.orders, summary.fills) == ([], 1, 2)
    await engine.dispose()


async def test_a_first_snapshot_that_never_came_to_history_is_told(
    check: Check, played, fleet_in_redis, collect
) -> None:
    """The streams lose their beginning: history then begins with what was not the first entry."""
    other = Pair("okx", "spot", "SOL/USDT")
    check.pairs.append(other)
    await fleet_in_redis.own(other)
    await fleet_in_redis.publish(other, snapshot(other, {"1": "1"}, {"2": "1"}, 7))
    stream = fleet_in_redis.keys.deltas(fleet_in_redis.keys.shard(other))
    [(last, _)] = await fleet_in_redis.client.xrevrange(stream, count=1)
    assert await fleet_in_redis.client.xdel(stream, last) == 1
    await fleet_in_redis.publish(
        other,
        Snapshot(
            pair=other, received_us=clock.wall_us(), bids={"1": "1"}, asks={"2": "1"}, reason=SnapshotReason.RESYNC
        ),
    )
    await collect()
    assert (await check.compare(0)).complaints == [f"{other}: 1 entries in history, 2 in the stream"]
