"""Orders and fills in SQL, on MariaDB and on SQLite."""

from collections.abc import Awaitable, Callable

import pytest

from fleet import sql
from fleet.errors import Fenced, FleetError, Unreachable
from fleet.schema import ACCOUNT_LEASE, ORDERS, TRADE_HISTORY, create_schema, fleet_uuid
from fleet.sql import reading, writing
from tests.support.trading import BTC, D, fill, order, trade
from trader import report
from trader.lease import AccountLease, Leases, halt, resume
from trader.ledger import Halted, Ledger
from trader.orders import OrderState, Side


@pytest.fixture
async def ledger(any_engine) -> Ledger:
    lease = await Leases(any_engine, "daemon", 60_000).acquire("paper")
    assert isinstance(lease, AccountLease)
    return Ledger(any_engine, lease)


def intent(**values: object):
    return order(state=OrderState.INTENT, **values)


async def test_an_order_goes_from_intent_over_open_and_partial_to_filled(any_engine, ledger: Ledger) -> None:
    await ledger.intents([intent(amount=D(3), placed_us=17)])
    [row] = (await ledger.load(trade())).working
    assert row == intent(amount=D(3), placed_us=17)
    await ledger.opened([row])
    assert (await ledger.load(trade())).working[0].state is OrderState.OPEN
    partial = await ledger.fill(fill(amount=D(1)))
    assert (partial.state, partial.filled) == (OrderState.PARTIAL, 1)
    full = await ledger.fill(fill(amount=D(2), trade_id="t2"))
    assert full.state is OrderState.FILLED
    record = await ledger.load(trade())
    assert record.working == ()
    assert record.fills == (fill(amount=D(1)), fill(amount=D(2), trade_id="t2"))
    assert record.last_filled == full


async def test_the_same_fill_again_changes_nothing(any_engine, ledger: Ledger) -> None:
    await ledger.intents([intent(amount=D(3))])
    assert await ledger.fill(fill()) is not None
    assert await ledger.fill(fill()) is None
    record = await ledger.load(trade())
    assert (len(record.fills), record.working[0].filled) == (1, 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"client_id": "unknown"}, "which is not in ORDERS"),
        ({"amount": D(4)}, "where 3 remains"),
        ({"side": Side.SELL}, "fit"),
    ],
)
async def test_a_fill_that_does_not_fit_is_refused_and_leaves_nothing(
    any_engine, ledger: Ledger, values: dict[str, object], expected: str
) -> None:
    await ledger.intents([intent(amount=D(3))])
    with pytest.raises(FleetError, match=expected):
        await ledger.fill(fill(**values))
    assert (await ledger.load(trade())).fills == ()


async def test_intents_are_written_all_or_none(any_engine, ledger: Ledger) -> None:
    await ledger.intents([intent()])
    with pytest.raises(FleetError):
        await ledger.intents([intent(client_id="c2"), intent()])
    assert [one.client_id for one in (await ledger.load(trade())).working] == ["c1"]


async def test_a_halt_stops_intents_at_once_and_no_fills(any_engine, ledger: Ledger) -> None:
    await ledger.intents([intent()])
    await halt(any_engine, "enough")
    with pytest.raises(Halted, match="trading is halted: enough"):
        await ledger.intents([intent(client_id="c2")])
    assert ledger.lease.halted == "enough"
    assert await ledger.fill(fill()) is not None


async def test_an_expired_lease_writes_no_intent_but_still_a_fill(any_engine, ledger: Ledger) -> None:
    await ledger.intents([intent()])
    async with writing(any_engine) as connection:
        await connection.execute(ACCOUNT_LEASE.update().values(EXPIRES_MS=1))
    with pytest.raises(Fenced, match="ended"):
        await ledger.intents([intent(client_id="c2")])
    assert await ledger.fill(fill()) is not None


async def test_what_is_filled_cannot_be_cancelled(any_engine, ledger: Ledger) -> None:
    await ledger.intents([intent(), intent(client_id="c2")])
    await ledger.fill(fill())
    await ledger.ended([intent(), intent(client_id="c2")], OrderState.CANCELLED, "test")
    states = {one["client_id"]: one["state"] for one in await report.orders(any_engine)}
    assert states == {"c1": "FILLED", "c2": "CANCELLED"}


async def test_tasks_see_their_own_orders_and_orphans_are_found(any_engine, ledger: Ledger) -> None:
    await ledger.intents([intent(), intent(client_id="c2", task_id=2)])
    assert [one.client_id for one in (await ledger.load(trade(2))).working] == ["c2"]
    assert [one.client_id for one in await ledger.orphans([trade(1)])] == ["c2"]
    assert await ledger.orphans([trade(1), trade(2)]) == []
    moved = BTC._replace(pair="ETH/USDT")
    assert [one.client_id for one in await ledger.orphans([trade(1, pair=moved), trade(2)])] == ["c1"]


async def test_history_has_the_columns_of_the_first_draft_filled(any_engine, ledger: Ledger) -> None:
    await ledger.intents([intent(amount=D(2))])
    await ledger.fill(fill(commission=D("0.05")))
    async with reading(any_engine) as connection:
        [row] = (await connection.execute(TRADE_HISTORY.select())).mappings()
        [written] = (await connection.execute(ORDERS.select())).mappings()
    expected = {
        "DAEMON_ID": "daemon",
        "EXCHANGE_ID": "binance",
        "TRADE_PAIR": "BTC/USDT",
        "ORDER_ID": "c1",
        "SIDE": "buy",
        "PRICE": 100,
        "AMOUNT": 1,
        "COMMISSION": D("0.05"),
        "STATUS": "open",
    }
    assert {name: row[name] for name in expected} == expected
    assert row["EXECUTED_AT"].year == 2023
    assert written["DAEMON_ID"] == "daemon"


async def test_reports_read_what_was_written(any_engine, ledger: Ledger) -> None:
    await ledger.intents([intent(), intent(client_id="c2", side=Side.SELL, price=D(101))])
    await ledger.fill(fill(commission=D("0.1")))
    assert [one["client_id"] for one in await report.orders(any_engine, working=True)] == ["c2"]
    [shown] = await report.fills(any_engine)
    assert (shown["trade_id"], shown["price"], shown["amount"], shown["side"]) == ("t1", "100", "1", "buy")
    [held] = await report.pnl(any_engine)
    assert (held["position"], held["average"], held["commission"], held["pair"]) == ("1", "100", "0.1", "BTC/USDT")
    [owner] = await report.owners(any_engine)
    assert (owner["holder"], owner["epoch"]) == ("daemon", 1)
    assert owner["expires_in_ms"] > 50_000


async def test_a_history_of_several_pages_is_read_whole_and_in_order(
    any_engine, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trader.ledger.PAGE_ROWS", 2)
    await ledger.intents([intent(amount=D(4))])
    names = ["t1", "t2", "t3", "t4"]
    for name in names:
        await ledger.fill(fill(trade_id=name, amount=D(1)))
        assert [one.trade_id for one in (await ledger.load(trade())).fills] == names[: names.index(name) + 1]
    [held] = await report.pnl(any_engine)
    assert held["fills"] == 4


async def test_a_database_that_hangs_is_given_up_by_every_question_and_write(
    own_mariadb, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await own_mariadb()
    await server.execute("CREATE DATABASE fleet")
    engine = sql.engine_of(server.database_url("fleet"))
    await create_schema(engine)
    leases = Leases(engine, "daemon", 60_000)
    lease = await leases.acquire("paper")
    assert isinstance(lease, AccountLease)
    ledger = Ledger(engine, lease)
    await ledger.intents([intent()])
    monkeypatch.setattr(sql, "ANSWER_S", 0.1)
    monkeypatch.setattr(sql, "LOCK_WAIT_S", 0)
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: leases.acquire("paper"),
        lambda: leases.renew(lease),
        lambda: ledger.load(trade()),
        lambda: ledger.orphans([]),
        lambda: ledger.intents([intent(client_id="c2")]),
        lambda: ledger.opened([intent()]),
        lambda: ledger.ended([intent()], OrderState.CANCELLED, "test"),
        lambda: ledger.fill(fill()),
        lambda: report.orders(engine),
        lambda: report.fills(engine),
        lambda: report.pnl(engine),
        lambda: report.owners(engine),
        lambda: halt(engine, "test"),
        lambda: resume(engine),
        lambda: fleet_uuid(engine),
        lambda: leases.release(lease),
    ]
    server.pause()
    try:
        for ask in asked:
            with pytest.raises(Unreachable, match="does not answer: expected it within"):
                await ask()
    finally:
        server.resume()
    await engine.dispose()
