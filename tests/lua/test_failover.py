"""A failover that forgets a change of owners, on two real servers: who had the pair before, who has it, and the fence.

A owns and is paused; B takes over under a higher token, which the replica never hears of. The primary dies, and on the other
server A's lease and token stand again, as if B had never been. Then A wakes.
"""

from fleet import scripts
from fleet.cell import Cell
from fleet.scripts import Granted, PublishLine, Taken, Word
from ops.chaos.checker import check
from ops.chaos.history import Entry, Fact, History, Note, ReadToEnd, Server
from tests.support.any_redis import connected
from tests.support.desk import PAIR, Desk, mark, snapshot

A, B = "host:1:a", "host:2:b"
LONG_MS = 600_000  # nothing runs out by itself: a lease ends when its key is deleted


async def taped(desk: Desk, known: set[str]) -> list[Note]:
    return [
        Entry(
            label=PAIR.label, line="book", id=entry_id.decode(), t=fields[b"t"].decode(), n=int(fields[b"n"]),
            epoch=int(fields[b"e"]),
        )
        for entry_id, fields in await desk.redis.xrange(desk.keys.deltas(0))
        if entry_id.decode() not in known
    ]  # fmt: skip


def line(token: int, n: int, *entries: str | bytes) -> PublishLine:
    return PublishLine(PAIR.label, PAIR.label, token, n, list(entries), book=PAIR, based_on=n)


async def test_an_owner_that_wakes_behind_a_failover_that_forgot_its_successor_repeats_nothing(own_failover) -> None:
    servers = await own_failover()
    facts: list[Fact] = []

    def note(fact: str, member: str, token: int, **more: object) -> None:
        at = float(len(facts) + 1)
        facts.append(Fact(at=0, mono_ms=at, fact=fact, member=member, pair=PAIR.label, token=token, **more))

    def granted(member: str, answer: Granted) -> None:
        cell = answer.cells[0]
        note("granted", member, answer.token, n=answer.n[0], cell_before=None if cell is None else str(cell))

    async with connected(servers.url) as (client, connection):
        desk = Desk(client, connection)
        first = await desk.granted(holder=A, ttl_ms=LONG_MS)
        granted(A, first)
        start = first.n[0]
        whole = PublishLine(PAIR.label, PAIR.label, first.token, start, snapshot({"1": "1"}, {}), book=PAIR)
        assert await desk.word(whole) is Word.OK
        note("accepted", A, first.token, n_first=start + 1, n_last=start + 1)
        await servers.stop_copying()
        assert await desk.word(line(first.token, start + 1, *mark())) is Word.OK  # lost
        note("accepted", A, first.token, n_first=start + 2, n_last=start + 2)
        await desk.redis.delete(desk.keys.lease(PAIR))  # A is paused
        second = await desk.granted(holder=B, ttl_ms=LONG_MS)  # lost
        granted(B, second)
        assert await desk.word(line(second.token, start + 2, *mark(), *mark())) is Word.OK  # lost
        note("accepted", B, second.token, n_first=start + 3, n_last=start + 4)
        tape: list[Note] = [Server("one", 0.0), *await taped(desk, set())]
    await servers.fail_over()
    async with connected(servers.url) as (client, connection):
        desk = Desk(client, connection)
        known = {note.id for note in await taped(desk, set()) if isinstance(note, Entry)}
        assert len(known) == 1
        cell = Cell.parse(await desk.cell())
        assert cell[:2] == (first.token, start + 1), "the fence is back at A's token"

        # B, which is awake: its token is unknown here, and A's lease stands
        assert (await desk.publish(line(second.token, start + 4, *mark())))[0] == (Word.FENCED, cell)
        value = scripts.lease_value(second.token, B)
        assert await scripts.renew(connection, leases=[desk.keys.lease(PAIR)], values=[value], ttl_ms=LONG_MS) == [0]
        assert await desk.acquire(holder=B, floor=second.token, ttl_ms=LONG_MS) == Taken(A)

        # A wakes. What it was told is not what stands here, so its token writes nothing; the next one is new
        assert (await desk.publish(line(first.token, start + 2, *mark())))[0] == (Word.AHEAD, cell)
        third = await desk.granted(holder=A, floor=first.token, ttl_ms=LONG_MS)
        granted(A, third)
        assert third.token > second.token, "by time: A has never heard of B's token"
        assert third.n == (start + 1,)
        again = PublishLine(PAIR.label, PAIR.label, third.token, start + 1, snapshot({"2": "1"}, {}), book=PAIR)
        assert await desk.word(again) is Word.OK
        note("accepted", A, third.token, n_first=start + 2, n_last=start + 2)
        for late in (line(first.token, start + 1, *mark()), line(second.token, start + 4, *mark())):
            assert await desk.word(late) is Word.FENCED

        # B comes to its turn when A gives up
        await desk.redis.delete(desk.keys.lease(PAIR))
        fourth = await desk.granted(holder=B, floor=second.token, ttl_ms=LONG_MS)
        granted(B, fourth)
        assert fourth.token > third.token
        tape += [Server("two", float(len(facts))), *await taped(desk, known), ReadToEnd(float("inf"))]
    written = [(note.epoch, note.n) for note in tape if isinstance(note, Entry)]
    assert len(set(written)) == len(written) == 5
    assert [epoch for epoch, _ in written] == sorted(epoch for epoch, _ in written)
    report = check(History(tape=tape, facts=facts), rule_of=lambda _: None)
    assert [str(violation) for violation in report.violations] == []
    assert report.figures["forks"] == 1
