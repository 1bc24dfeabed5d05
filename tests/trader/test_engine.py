"""One task at work, and what is left of it after a crash at any moment."""

import asyncio
import itertools
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet.errors import Fenced
from fleet.schema import ORDERS, TRADE_HISTORY, create_schema
from fleet.sql import engine_of, reading, writing
from fleet.tasks import Task
from tests.support.trading import D, View, trade
from trader import ledger as ledger_module
from trader.engine import TaskEngine
from trader.lease import AccountLease, Leases, halt
from trader.ledger import Halted, Ledger
from trader.portfolio import portfolio_of
from trader.strategies import build
from trader.strategy import Action, ActionKind

UUID = "abcdef0123456789"
T0 = 1_700_000_000_000_000  # Unix µs
PRICES = (100, 99, 98.5, 100, 101, 102, 99, 97, 104, 100)


async def start(engine: AsyncEngine, task: Task, holder: str = "d") -> TaskEngine:
    """What a new owner does: a lease with a higher epoch, then everything from SQL."""
    lease = await Leases(engine, holder, 60_000).acquire(task.account)
    assert isinstance(lease, AccountLease)
    ledger = Ledger(engine, lease)
    return TaskEngine(task, build(task.strategy, task.params), await ledger.load(task), ledger, UUID)


async def play(engine: TaskEngine, prices=PRICES, first: int = 0, amount: str = "0.6") -> None:
    view = View()
    for number, price in enumerate(prices, start=first):
        now_us = T0 + number * 1_000_000
        await engine.step(view.around(price, amount), now_us, now_us)


async def check(engine: AsyncEngine, task: Task) -> None:
    """Orders and history agree, nothing twice, and memory built from SQL is their sum."""
    async with reading(engine) as connection:
        orders = (await connection.execute(ORDERS.select())).mappings().all()
        history = (await connection.execute(TRADE_HISTORY.select())).mappings().all()
    keys = Counter((row["CLIENT_ORDER_ID"], row["VENUE_TRADE_ID"]) for row in history)
    assert not keys or max(keys.values()) == 1
    for row in orders:
        filled = sum(one["AMOUNT"] for one in history if one["CLIENT_ORDER_ID"] == row["CLIENT_ORDER_ID"])
        assert row["FILLED"] == filled <= row["AMOUNT"]
        assert (row["STATE"] == "FILLED") == (filled == row["AMOUNT"])
    working = Counter(row["SLOT"] for row in orders if row["STATE"] in {"INTENT", "OPEN", "PARTIAL"})
    assert not working or max(working.values()) == 1
    again = await start(engine, task)
    position = sum((1 if row["SIDE"] == "buy" else -1) * row["AMOUNT"] for row in history)
    assert again.portfolio.position == position
    assert set(again.portfolio.orders) == set(working)


async def test_a_grid_trades_and_its_position_is_the_sum_of_its_fills(any_engine) -> None:
    task = trade()
    engine = await start(any_engine, task)
    await play(engine)
    assert engine.stats.fills >= 5
    assert engine.stats.orders >= 8
    record = await Ledger(any_engine, engine._ledger.lease).load(task)
    assert portfolio_of(task.pair, record.fills, record.working) == engine.portfolio
    await check(any_engine, task)


async def test_a_restart_goes_on_where_sql_says(any_engine) -> None:
    task = trade()
    engine = await start(any_engine, task)
    await play(engine, PRICES[:5])
    again = await start(any_engine, task)
    assert again.portfolio == engine.portfolio
    assert again.strategy.pivot == engine.strategy.pivot
    with pytest.raises(Fenced):
        await play(engine, PRICES[5:], first=5)
    await play(again, PRICES[5:], first=5)
    await check(any_engine, task)


class Crash(BaseException):
    """The process ends here."""


class Crashing:
    """Ends the process at the n-th moment of its transactions: before BEGIN, before COMMIT or just after it."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.moments = 0

    def moment(self) -> None:
        self.moments += 1
        if self.moments == self.at:
            raise Crash

    @asynccontextmanager
    async def writing(self, engine: AsyncEngine, *, bounded: bool):
        self.moment()
        async with writing(engine, bounded=bounded) as connection:
            yield connection
            self.moment()
        self.moment()


async def crash_everywhere(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    number = itertools.count(1)
    for at in itertools.count(1, step):
        # a task of its own each time: the rows of the others are in the way of nobody
        task = trade(next(number))
        running = await start(engine, task)
        crashing = Crashing(at)
        monkeypatch.setattr(ledger_module, "writing", crashing.writing)
        try:
            await play(running)
        except Crash:
            pass
        else:
            break
        finally:
            monkeypatch.setattr(ledger_module, "writing", writing)
        again = await start(engine, task)
        await play(again, first=100)
        assert again.stats.fills > 0
    else:
        pytest.fail("never got through")
    assert at > 30
    for one in range(1, next(number) - 1):
        await check_task(engine, trade(one))


async def check_task(engine: AsyncEngine, task: Task) -> None:
    again = await start(engine, task)
    async with reading(engine) as connection:
        mine = TRADE_HISTORY.c.TASK_ID.in_([task.id])
        history = (await connection.execute(TRADE_HISTORY.select().where(mine))).mappings().all()
        mine = ORDERS.c.TASK_ID.in_([task.id])
        orders = (await connection.execute(ORDERS.select().where(mine))).mappings().all()
    assert len({(row["CLIENT_ORDER_ID"], row["VENUE_TRADE_ID"]) for row in history}) == len(history)
    assert again.portfolio.position == sum((1 if row["SIDE"] == "buy" else -1) * row["AMOUNT"] for row in history)
    for row in orders:
        assert row["FILLED"] == sum(
            one["AMOUNT"] for one in history if one["CLIENT_ORDER_ID"] == row["CLIENT_ORDER_ID"]
        )
        assert (row["STATE"] == "FILLED") == (row["FILLED"] == row["AMOUNT"])
    working = [row["SLOT"] for row in orders if row["STATE"] in {"INTENT", "OPEN", "PARTIAL"}]
    assert len(working) == len(set(working))


async def test_a_crash_at_any_moment_of_any_transaction_neither_loses_nor_repeats(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(sqlite_url)
    await create_schema(engine)
    await crash_everywhere(engine, monkeypatch, step=1)
    await engine.dispose()


async def test_a_crash_at_some_moments_on_mariadb(mariadb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(mariadb_url)
    await create_schema(engine)
    await crash_everywhere(engine, monkeypatch, step=5)
    await engine.dispose()


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("moment", [1, 2, 8, 17, 27])
async def test_being_cancelled_inside_a_transaction_leaves_sql_whole(
    any_engine, monkeypatch: pytest.MonkeyPatch, moment: int, turns: int
) -> None:
    task = trade()
    running = await start(any_engine, task)
    counting = Crashing(at=-1)
    monkeypatch.setattr(ledger_module, "writing", counting.writing)
    async with asyncio.TaskGroup() as group:
        playing = group.create_task(play(running), name="play")
        while counting.moments < moment:
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        playing.cancel()
    monkeypatch.setattr(ledger_module, "writing", writing)
    await check(any_engine, task)
    await play(await start(any_engine, task), first=100)
    await check(any_engine, task)


async def test_no_order_without_a_live_and_fresh_book(any_engine) -> None:
    engine = await start(any_engine, trade())
    view = View().around(100)
    view.status = "stale"
    await engine.step(view, 0, 0)
    assert engine.stats.hold == "the book is stale"
    view.status = "live"
    await engine.step(view, 0, 20_000_000)
    assert engine.stats.hold.startswith("the book is 20.0 s old")
    assert engine.stats.orders == 0
    await engine.step(view, 20_000_000, 20_000_000)
    assert (engine.stats.orders, engine.stats.hold) == (4, "")


async def test_on_hold_fills_are_written_and_nothing_is_placed(any_engine) -> None:
    engine = await start(any_engine, trade())
    view = View()
    await engine.step(view.around(100), T0, T0)
    await engine.step(view.around(98.9), T0, T0, "SQL does not answer")
    assert (engine.stats.orders, engine.stats.fills, engine.stats.hold) == (4, 1, "SQL does not answer")


async def test_a_lease_that_ran_out_after_the_intent_sends_nothing(any_engine) -> None:
    task = trade()
    engine = await start(any_engine, task)
    engine._ledger.lease.safe_until_ms = 0.0
    with pytest.raises(Fenced, match="ran out before its orders could be sent"):
        await engine.step(View().around(100), 0, 0)
    assert engine.stats.orders == 0
    # the successor finds the intents and goes on with them
    again = await start(any_engine, task)
    assert set(again.portfolio.orders) == {"98", "99", "101", "102"}
    await again.step(View().around(100), 0, 0)
    assert again.stats.orders == 0


async def test_a_halt_in_sql_stops_an_order_in_the_making(any_engine) -> None:
    engine = await start(any_engine, trade())
    await halt(any_engine, "stop")
    with pytest.raises(Halted):
        await engine.step(View().around(100), 0, 0)
    assert engine.portfolio.orders == {}


async def test_a_refused_order_is_counted_and_asked_for_again_a_second_later(any_engine) -> None:
    params = {"grid_step": "1", "order_size": "1", "levels": 1, "risk": {"max_order_size": "0.5"}}
    engine = await start(any_engine, trade(params=params))
    view = View().around(100)
    for now_us in (0, 1, 999_999):
        await engine.step(view, now_us, now_us)
    assert (engine.gate.refused, engine.stats.orders) == (2, 0)
    assert "max_order_size" in engine.gate.last_refusal
    await engine.step(view, 1_000_000, 1_000_000)
    assert engine.gate.refused == 4


class Closer:
    """Buys one, then closes."""

    id = "closer"
    order_size = exposure = D(1)

    def __init__(self) -> None:
        self.executed: list[str] = []

    def evaluate(self, book, portfolio):
        if portfolio.orders:
            return []
        if portfolio.position:
            return [Action(ActionKind.CLOSE, reason="enough")]
        return [] if self.executed else [Action(ActionKind.BUY, "in", D("100.1"), D(1))]

    def on_executed(self, order) -> None:
        self.executed.append(order.side.value)

    def restore(self, working, last_filled) -> None:
        pass


async def test_close_brings_the_position_to_zero_at_once(any_engine) -> None:
    task = trade()
    base = await start(any_engine, task)
    closer = Closer()
    setup = build("grid", task.params)._replace(strategy=closer)
    engine = TaskEngine(task, setup, await base._ledger.load(task), base._ledger, UUID)
    view = View().around(100)
    for now_us in range(T0, T0 + 4):
        await engine.step(view, now_us, now_us)
    assert closer.executed == ["buy", "sell"]
    assert engine.portfolio.position == 0


async def test_cancelling_all_frees_every_slot(any_engine) -> None:
    task = trade()
    engine = await start(any_engine, task)
    await engine.step(View().around(100), 0, 0)
    await engine.cancel_all("test")
    assert engine.portfolio.orders == {}
    assert (await engine._ledger.load(task)).working == ()


async def test_a_strategy_that_fails_stops_its_task_alone(any_engine, caplog: pytest.LogCaptureFixture) -> None:
    engine = await start(any_engine, trade())
    await engine.step(View().around(100), T0, T0)

    def fail(_book, _portfolio):
        raise ZeroDivisionError("division by zero")

    engine.strategy.evaluate = fail
    for _ in range(3):
        await engine.step(View().around(100), T0, T0)
    assert engine.stats.hold.startswith("the strategy failed: ZeroDivisionError: division by zero")
    assert engine.portfolio.orders == {}
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


async def test_orders_from_before_a_restart_are_still_filled_and_their_trades_named_on(any_engine) -> None:
    task = trade()
    engine = await start(any_engine, task)
    await engine.step(View().around(100), T0, T0)
    await engine.step(View().around("98.9", "0.4"), T0, T0)
    assert engine.portfolio.orders["99"].filled == D("0.4")
    old = engine.portfolio.orders["99"].client_id
    again = await start(any_engine, task)
    await again.step(View().around("98.9", "0.6"), T0, T0)
    assert again.portfolio.position == 1
    record = await again._ledger.load(task)
    assert [(fill.client_id, fill.trade_id) for fill in record.fills] == [(old, f"{old}-1"), (old, f"{old}-2")]
