"""The verbs of leases and fences against a model, by any sequence of calls: several holders, two pairs of one shard, late
commands of old tokens, repeated calls, expiry (a key deleted: nobody sleeps), Redis emptied.

What Redis accepted is read from the stream and held against the history check at the end of every run.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, NamedTuple

import redis.asyncio
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from fleet import scripts
from fleet.keys import Keys
from fleet.pair import Pair
from fleet.scripts import Cell, Granted, Offer, PublishLine, Reserved, Taken, Touched, Verdict, Word
from ops.chaos.checker import check
from ops.chaos.history import Entry, Fact, History, Note, ReadToEnd, Server
from tests.support.desk import mark, snapshot

KEYS = Keys("machine", 1)
PAIRS = (Pair("okx", "spot", "A/B"), Pair("okx", "spot", "C/D"))
HOLDERS = ("host:1:a", "host:2:b", "host:3:c")
TTL_MS = 600_000  # nothing expires by itself: expiry is a rule
BOOK_TTL_MS = 600_000


class Grant:
    """What a holder was granted once; it goes on using it however old it is. `n`: where it believes the line stands."""

    def __init__(self, holder: str, pair: Pair, token: int, n: int) -> None:
        self.holder, self.pair, self.token, self.n = holder, pair, token, n
        self.last: PublishLine | None = None

    def __repr__(self) -> str:
        return f"<Grant {self.token} of {self.pair.pair} to {self.holder}, n={self.n}>"

    @property
    def value(self) -> str:
        return scripts.lease_value(self.token, self.holder)


class Model(NamedTuple):
    """What Redis must hold of one pair."""

    lease: str | None = None
    offer: str | None = None
    cell: tuple[int, int] | None = None  # token, n
    book_n: int | None = None


grants_asked = st.lists(st.integers(0, 30), min_size=1, max_size=4)


class LeaseMachine(RuleBasedStateMachine):
    """`connection` is where verbs go, `client` looks at keys; both are of `loop`. `empty` is FLUSHALL."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    connection: ClassVar[scripts.Connection]
    client: ClassVar[redis.asyncio.Redis]

    grants: Bundle[Grant] = Bundle("grants")

    @classmethod
    def empty(cls) -> Coroutine[Any, Any, Any]:
        return cls.client.flushall()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.wait(self.empty())
        self.model = dict.fromkeys(PAIRS, Model())
        self.highest = dict.fromkeys(PAIRS, 0)
        self.ever: list[Grant] = []
        self.tape: list[Note] = [Server("one", 0.0)]
        self.facts: list[Fact] = []

    def teardown(self) -> None:
        if hasattr(self, "tape"):
            self.save_stream()
            history = History(tape=[*self.tape, ReadToEnd(float("inf"))], facts=self.facts)
            assert [str(violation) for violation in check(history, rule_of=lambda _: None).violations] == []

    def save_stream(self) -> None:
        """Onto the tape; called before the stream is lost."""
        for entry_id, fields in self.wait(self.client.xrange(KEYS.deltas(0))):
            self.tape.append(
                Entry(
                    label=fields[b"k"].decode(), line="book", id=entry_id.decode(), t=fields[b"t"].decode(),
                    n=int(fields[b"n"]), epoch=int(fields[b"e"]),
                )
            )  # fmt: skip

    def note(self, fact: str, grant: Grant, **fields: Any) -> None:
        at = float(len(self.facts) + 1)
        common = {"member": grant.holder, "pair": grant.pair.label, "token": grant.token}
        self.facts.append(Fact(at=0, mono_ms=at, fact=fact, **{**common, **fields}))

    # --- verbs --------------------------------------------------------------------------------------------------------

    @rule(
        target=grants, holder=st.sampled_from(HOLDERS), pair=st.sampled_from(PAIRS), ahead=st.sampled_from([0, 0, 5000])
    )
    def acquire(self, holder: str, pair: Pair, ahead: int) -> Any:
        before = self.model[pair]
        floor = self.highest[pair] + ahead
        answer = self.wait(
            scripts.acquire(
                self.connection, tail=KEYS.tail(0), lease=KEYS.lease(pair), offer=KEYS.offer(pair), holder=holder,
                ttl_ms=TTL_MS, floor=floor, fields=[pair.label],
            )
        )  # fmt: skip
        owner = before.lease.split(" ", 1)[1] if before.lease else None
        if owner is not None and holder not in {owner, before.offer}:
            assert answer == Taken(owner)
        elif owner is None and before.offer not in {None, holder}:
            assert answer == Reserved(str(before.offer))
        else:
            assert isinstance(answer, Granted)
            assert answer.token > floor
            assert [cell and cell[:2] for cell in answer.cells] == [before.cell]
            assert answer.n == ((before.cell[1] if before.cell else answer.token),)
            grant = Grant(holder, pair, answer.token, answer.n[0])
            self.highest[pair] = answer.token
            self.model[pair] = before._replace(lease=grant.value, offer=None, cell=(answer.token, answer.n[0]))
            cell = answer.cells[0]
            self.note("granted", grant, n=answer.n[0], cell_before=None if cell is None else str(cell))
            self.ever.append(grant)
            return grant
        return Grant(holder, pair, 7, 7)  # a member that only believes it was granted

    def picked(self, asked: Sequence[int]) -> list[Grant]:
        return [self.ever[number % len(self.ever)] for number in asked] if self.ever else []

    @rule(asked=grants_asked)
    def renew(self, asked: Sequence[int]) -> None:
        mine = self.picked(asked)
        answer = self.wait(
            scripts.renew(
                self.connection, leases=[KEYS.lease(one.pair) for one in mine], values=[one.value for one in mine],
                ttl_ms=TTL_MS,
            )
        )  # fmt: skip
        assert answer == [i for i, one in enumerate(mine) if self.model[one.pair].lease != one.value]

    @rule(grant=grants)
    def release(self, grant: Grant) -> None:
        was_ours = self.model[grant.pair].lease == grant.value
        answer = self.wait(scripts.release(self.connection, lease=KEYS.lease(grant.pair), value=grant.value))
        assert answer is was_ours
        if was_ours:
            self.model[grant.pair] = self.model[grant.pair]._replace(lease=None)

    @rule(asked=grants_asked, to=st.sampled_from([*HOLDERS, ""]))
    def offer(self, asked: Sequence[int], to: str) -> None:
        mine = self.picked(asked)
        offers = [Offer(KEYS.lease(one.pair), KEYS.offer(one.pair), one.value, to) for one in mine]
        answer = self.wait(scripts.offer(self.connection, offers=offers, ttl_ms=TTL_MS))
        lost = [i for i, one in enumerate(mine) if self.model[one.pair].lease != one.value]
        assert answer == lost
        for i, one in enumerate(mine):
            if i not in lost:
                self.model[one.pair] = self.model[one.pair]._replace(offer=to or None)

    def _line(self, grant: Grant, count: int, n: int, *, whole: bool) -> PublishLine:
        entries = snapshot({"1": str(n)}, {}) if whole else []
        for _ in range(count):
            entries += mark()
        based_on = None if whole else self.model[grant.pair].book_n or 0
        return PublishLine(
            grant.pair.label, grant.pair.label, grant.token, n, entries, book=grant.pair, based_on=based_on
        )

    def _publish(self, grant: Grant, line: PublishLine) -> Word:
        [verdict] = self.wait(scripts.publish(self.connection, KEYS, 0, BOOK_TTL_MS, [line]))
        was = self.model[grant.pair]
        if was.cell is None or was.cell[0] != grant.token:
            assert verdict.word is Word.FENCED
            assert (verdict.cell and verdict.cell[:2]) == was.cell
        elif was.cell[1] != line.n:
            assert verdict.word is (Word.BEHIND if line.n < was.cell[1] else Word.AHEAD)
            assert verdict.cell is not None
            assert verdict.cell[:2] == was.cell
        else:
            self._taken(grant, line, verdict, was)
            return verdict.word
        if line.n == grant.n:  # else it is no honest caller, and the refusal disproves nothing
            self.note("refused", grant, n=line.n, verdict=verdict.word.value, cell=None)
        return verdict.word

    def _taken(self, grant: Grant, line: PublishLine, verdict: Verdict, was: Model) -> None:
        n = line.n + len(line.entries) // 2
        patched = line.based_on is None or (was.book_n is not None and line.based_on == was.book_n)
        assert verdict == Verdict(Word.OK if patched else Word.REWRITE)
        self.model[grant.pair] = was._replace(cell=(grant.token, n), book_n=n if patched else was.book_n)
        grant.n, grant.last = n, line
        if n > line.n:
            self.note("accepted", grant, n_first=line.n + 1, n_last=n)

    @rule(grant=grants, count=st.integers(0, 3), slip=st.sampled_from([0, 0, 0, -1, 1]), whole=st.booleans())
    def publish(self, grant: Grant, count: int, slip: int, whole: bool) -> None:
        self._publish(grant, self._line(grant, count, grant.n + slip, whole=whole))

    @rule(grant=grants)
    def publish_the_same_again(self, grant: Grant) -> None:
        """Whoever did not hear the answer may ask again: nothing is taken twice."""
        if grant.last is not None and grant.last.entries:
            assert self._publish(grant, grant.last) in {Word.BEHIND, Word.FENCED}

    @rule(asked=grants_asked)
    def touch(self, asked: Sequence[int]) -> None:
        mine = self.picked(asked)
        claims = [(one.pair, one.token) for one in mine]
        expected = []
        for one in mine:
            model = self.model[one.pair]
            fenced = model.cell is None or model.cell[0] != one.token
            expected.append(Touched.FENCED if fenced else Touched.GONE if model.book_n is None else Touched.OK)
        assert self.wait(scripts.touch(self.connection, KEYS, 0, BOOK_TTL_MS, claims)) == expected

    # --- what happens -------------------------------------------------------------------------------------------------

    @rule(pair=st.sampled_from(PAIRS))
    def lease_expires(self, pair: Pair) -> None:
        self.wait(self.client.delete(KEYS.lease(pair)))
        self.model[pair] = self.model[pair]._replace(lease=None)

    @rule(pair=st.sampled_from(PAIRS))
    def offer_expires(self, pair: Pair) -> None:
        self.wait(self.client.delete(KEYS.offer(pair)))
        self.model[pair] = self.model[pair]._replace(offer=None)

    @rule(pair=st.sampled_from(PAIRS))
    def book_expires(self, pair: Pair) -> None:
        self.wait(self.client.delete(KEYS.book(pair), KEYS.bids(pair), KEYS.asks(pair)))
        self.model[pair] = self.model[pair]._replace(book_n=None)

    @rule()
    def redis_is_emptied(self) -> None:
        self.save_stream()
        self.wait(self.empty())
        self.model = dict.fromkeys(PAIRS, Model())

    @invariant()
    def redis_holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "model"):
            return
        for pair, (lease, offer, cell, book_n) in self.wait(self._seen()).items():
            model = self.model[pair]
            assert lease == (model.lease.encode() if model.lease else None)
            assert offer == (model.offer.encode() if model.offer else None)
            assert (Cell.parse(cell)[:2] if cell else None) == model.cell
            assert book_n == (None if model.book_n is None else b"%d" % model.book_n)

    async def _seen(self) -> dict[Pair, tuple[bytes | None, ...]]:
        pipe = self.client.pipeline(transaction=False)
        for pair in PAIRS:
            pipe.mget(KEYS.lease(pair), KEYS.offer(pair)).hget(KEYS.tail(0), pair.label).hget(KEYS.book(pair), "n")
        found = await pipe.execute()
        return {pair: (*found[3 * i], *found[3 * i + 1 : 3 * i + 3]) for i, pair in enumerate(PAIRS)}
