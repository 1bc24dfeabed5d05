"""fleet/scripts.py: replies as types, NOSCRIPT, and acquire/renew/release/publish together against a model.

What each verb does is tested in tests/lua.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
import redis.asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fleet import scripts
from fleet.keys import Keys
from fleet.ordered import OrderedConnection
from fleet.pair import Pair
from fleet.scripts import Cell, Granted, PublishLine, Reserved, Taken, Verdict, Word
from tests.support.desk import LEASE_MS, PAIR, Desk, delta, mark, snapshot


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[OrderedConnection]:
    ordered = OrderedConnection(redis_url)
    await ordered.connect()
    yield ordered
    await ordered.close()


@pytest.fixture
def desk(redis: redis.asyncio.Redis, connection: OrderedConnection) -> Desk:
    return Desk(redis, connection)


def test_a_cell_is_parsed_and_written_back_unchanged() -> None:
    text = "1765000000000 1765000000123 9223372036854775807 1765000000001-3"
    assert Cell.parse(text.encode()) == Cell(1765000000000, 1765000000123, "9223372036854775807", "1765000000001-3")
    assert str(Cell.parse(text)) == text
    with pytest.raises(ValueError, match="expected `token n sequence id`"):
        Cell.parse("1 2")


async def test_a_script_the_server_forgot_is_loaded_and_asked_once_more(desk: Desk) -> None:
    granted = await desk.granted()
    await desk.redis.script_flush()
    assert await scripts.release(desk.connection, lease=desk.keys.lease(PAIR), value=f"{granted.token} host:1:a")
    await desk.redis.script_flush()
    assert not await scripts.release(desk.redis, lease=desk.keys.lease(PAIR), value="1 a")


async def test_publishes_under_way_when_scripts_are_flushed_are_each_taken_once_and_in_order(desk: Desk) -> None:
    granted = await desk.granted()
    n = granted.n[0]
    await desk.redis.script_flush()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(desk.publish(PublishLine(PAIR.label, PAIR.label, granted.token, n + i, mark())))
            for i in range(20)
        ]
    assert [task.result() for task in tasks] == [[Verdict(Word.OK)]] * 20
    assert [int(fields[b"n"]) for _, fields in await desk.entries()] == [n + 1 + i for i in range(20)]


async def test_every_verb_runs_on_a_pooled_client_too(desk: Desk) -> None:
    desk.connection = desk.redis
    await desk.granted()
    assert await scripts.touch(desk.redis, desk.keys, 0, 1000, [(PAIR, 1)]) == [scripts.Touched.FENCED]
    assert await scripts.spend(desk.redis, bucket="b", capacity=1, refill_per_s=1.5, cost=1) is None


async def test_all_scripts_can_be_loaded_ahead(desk: Desk) -> None:
    await scripts.load_all(desk.connection)
    assert await desk.redis.script_exists(*[script.sha.decode() for script in scripts.SCRIPTS]) == [True] * len(
        scripts.SCRIPTS
    )
    await scripts.load_all(desk.redis)


async def test_nothing_to_do_asks_nothing(desk: Desk) -> None:
    await desk.connection.close()
    assert await scripts.renew(desk.connection, leases=[], values=[], ttl_ms=1) == []
    assert await scripts.touch(desk.connection, desk.keys, 0, 1000, []) == []
    assert await scripts.mark_stale(desk.connection, desk.keys, []) == 0


PAIRS = (Pair("okx", "spot", "A/B"), Pair("okx", "spot", "C/D"))
HOLDERS = ("a", "b", "c")
pairs, holders = st.sampled_from(PAIRS), st.sampled_from(HOLDERS)
price = st.sampled_from(["1", "2", "3"])
levels = st.dictionaries(price, st.sampled_from(["0", "5", "7"]), max_size=3)


class Owner:
    """What a daemon believes of a pair: it may be wrong, and must then be refused."""

    def __init__(self, token: int, n: int) -> None:
        self.token = token
        self.n = n
        self.flushed_n: int | None = None
        self.bids: dict[str, str] = {}


class Protocol(RuleBasedStateMachine):
    """Three daemons, two pairs, one shard; leases end, offers are made, calls are repeated, Redis is flushed."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.keys = Keys("model", 1)
        self.redis = redis.asyncio.Redis.from_url(self.url)
        self.connection = OrderedConnection(self.url)
        self.wait(self.connection.connect())
        self.wait(self.redis.flushdb())
        self.owners: dict[tuple[str, Pair], Owner] = {}
        self.lease: dict[Pair, tuple[str, int]] = {}
        self.offer: dict[Pair, str] = {}
        self.token: dict[Pair, int] = dict.fromkeys(PAIRS, 0)  # the highest ever granted
        self.n: dict[Pair, int] = {}
        self.book: dict[Pair, dict[str, str]] = {}
        self.hash_n: dict[Pair, int] = {}

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.wait(self.connection.close())
            self.wait(self.redis.aclose())
            self.loop.close()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def asked(self, holder: str, pair: Pair) -> Granted | Taken | Reserved:
        answer: Granted | Taken | Reserved = self.wait(
            scripts.acquire(
                self.connection, tail=self.keys.tail(0), lease=self.keys.lease(pair), offer=self.keys.offer(pair),
                holder=holder, ttl_ms=LEASE_MS * 100, floor=self.token[pair], fields=[pair.label],
            )
        )  # fmt: skip
        return answer

    @rule(holder=holders, pair=pairs)
    def acquire(self, holder: str, pair: Pair) -> None:
        owner = self.lease.get(pair, (None, 0))[0]
        offered = self.offer.get(pair)
        answer = self.asked(holder, pair)
        if owner is not None and holder not in {owner, offered}:
            assert answer == Taken(owner)
        elif owner is None and offered not in {None, holder}:
            assert answer == Reserved(str(offered))
        else:
            assert isinstance(answer, Granted)
            assert answer.token > self.token[pair]
            assert (answer.cells[0] is None) == (pair not in self.n)
            assert answer.n[0] == self.n.get(pair, answer.token)
            self.token[pair], self.n[pair] = answer.token, answer.n[0]
            self.lease[pair] = (holder, answer.token)
            self.offer.pop(pair, None)
            self.owners[holder, pair] = Owner(answer.token, answer.n[0])

    @rule(pair=pairs)
    def lease_expires(self, pair: Pair) -> None:
        self.wait(self.redis.delete(self.keys.lease(pair)))
        self.lease.pop(pair, None)

    @rule(pair=pairs, holder=holders)
    def offer_is_made(self, pair: Pair, holder: str) -> None:
        self.wait(self.redis.set(self.keys.offer(pair), holder, px=LEASE_MS * 100))
        self.offer[pair] = holder

    @rule(holder=holders)
    def renew(self, holder: str) -> None:
        mine = [(pair, owner) for (name, pair), owner in self.owners.items() if name == holder]
        lost = self.wait(
            scripts.renew(
                self.connection,
                leases=[self.keys.lease(pair) for pair, _ in mine],
                values=[scripts.lease_value(owner.token, holder) for _, owner in mine],
                ttl_ms=LEASE_MS * 100,
            )
        )
        expected = [i for i, (pair, owner) in enumerate(mine) if self.lease.get(pair) != (holder, owner.token)]
        assert lost == expected

    @rule(holder=holders, pair=pairs)
    def release(self, holder: str, pair: Pair) -> None:
        owner = self.owners.get((holder, pair), Owner(1, 0))
        value = scripts.lease_value(owner.token, holder)
        was_ours = self.lease.get(pair) == (holder, owner.token)
        assert self.wait(scripts.release(self.connection, lease=self.keys.lease(pair), value=value)) is was_ours
        if was_ours:
            del self.lease[pair]

    @rule(pair=pairs)
    def book_expires(self, pair: Pair) -> None:
        self.wait(self.redis.delete(self.keys.book(pair), self.keys.bids(pair), self.keys.asks(pair)))
        self.book.pop(pair, None)
        self.hash_n.pop(pair, None)

    @rule()
    def redis_is_flushed(self) -> None:
        self.wait(self.redis.flushdb())
        for known in (self.lease, self.offer, self.n, self.book, self.hash_n):
            known.clear()

    @rule(holder=holders, pair=pairs, change=levels, whole=st.booleans(), slip=st.sampled_from([0, 0, 0, -1, 1]))
    def publish(self, holder: str, pair: Pair, change: dict[str, str], whole: bool, slip: int) -> None:
        owner = self.owners.get((holder, pair))
        if owner is None:
            return
        n = owner.n + slip
        line = PublishLine(
            pair.label, pair.label, owner.token, n, snapshot(change, {}) if whole else delta(change, {}),
            book=pair, based_on=None if whole else owner.flushed_n or 0,
        )  # fmt: skip
        [verdict] = self.wait(scripts.publish(self.connection, self.keys, 0, LEASE_MS * 100, [line]))
        if pair not in self.n:
            assert verdict == Verdict(Word.FENCED)
        elif owner.token != self.token[pair]:
            assert verdict.word is Word.FENCED
        elif n != self.n[pair]:
            assert verdict.word is (Word.BEHIND if n < self.n[pair] else Word.AHEAD)
            assert verdict.cell is not None
            assert verdict.cell.n == self.n[pair]
        else:
            self.n[pair] += 1
            owner.n = self.n[pair]
            if not whole and self.hash_n.get(pair) != (owner.flushed_n or 0):
                assert verdict == Verdict(Word.REWRITE)
                return
            assert verdict == Verdict(Word.OK)
            base = {} if whole else self.book.get(pair, {})
            merged = {**base, **change}
            self.book[pair] = {name: amount for name, amount in merged.items() if amount != "0"}
            self.hash_n[pair] = owner.flushed_n = self.n[pair]

    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "keys"):
            return
        for pair in PAIRS:
            cell = self.wait(self.redis.hget(self.keys.tail(0), pair.label))
            if pair in self.n:
                assert Cell.parse(cell)[:2] == (self.token[pair], self.n[pair])
            else:
                assert cell is None
            main = self.wait(self.redis.hget(self.keys.book(pair), "n"))
            assert main == (b"%d" % self.hash_n[pair] if pair in self.hash_n else None)
            bids = self.wait(self.redis.hgetall(self.keys.bids(pair)))
            assert {name.decode(): amount.decode() for name, amount in bids.items()} == self.book.get(pair, {})
        numbers: dict[bytes, int] = {}
        for _, fields in self.wait(self.redis.xrange(self.keys.deltas(0))):
            n = int(fields[b"n"])
            assert n > numbers.get(fields[b"k"], 0)
            numbers[fields[b"k"]] = n


def test_acquire_renew_release_and_publish_agree_with_a_model(redis_url: str) -> None:
    machine = type("ProtocolHere", (Protocol,), {"url": redis_url})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))
