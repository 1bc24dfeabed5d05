"""lua/publish.lua on a real server."""

import pytest
import redis.asyncio

from fleet.ordered import OrderedConnection
from fleet.scripts import Cell, PublishLine, Verdict, Word
from tests.support.desk import BOOK_TTL_MS, OTHER, PAIR, Desk, delta, mark, reset, snapshot

LABEL = PAIR.label


def line(token: int, n: int, entries: list[str | bytes], **options: object) -> PublishLine:
    return PublishLine(LABEL, LABEL, token, n, entries, **options)


async def live(desk: Desk) -> tuple[int, int]:
    """A pair with a published snapshot; its token and n."""
    lease = await desk.granted()
    first = line(
        lease.token, lease.n[0], snapshot({"100": "1", "99": "2"}, {"101": "3"}), sequence="7", book=PAIR,
        fields=["status", "live"],
    )  # fmt: skip
    assert await desk.publish(first) == [Verdict(Word.OK)]
    return lease.token, lease.n[0] + 1


async def test_a_snapshot_makes_the_book_and_moves_the_cell(desk: Desk) -> None:
    token, n = await live(desk)

    [(entry_id, fields)] = await desk.entries()
    assert {name: value for name, value in fields.items() if name != b"d"} == {
        b"k": LABEL.encode(), b"t": b"snapshot", b"n": str(n).encode(), b"e": str(token).encode(),
    }  # fmt: skip
    assert await desk.cell() == f"{token} {n} 7 {entry_id}"
    assert await desk.levels() == ({"100": "1", "99": "2"}, {"101": "3"})
    main = await desk.main()
    assert main.pop("published_ms") == main.pop("checked_ms")
    assert main == {"status": "live", "n": str(n), "id": entry_id, "epoch": str(token), "sequence": "7"}


async def test_the_times_in_main_are_the_servers(desk: Desk) -> None:
    before = await desk.redis.time()
    await live(desk)
    after = await desk.redis.time()

    published_ms = int((await desk.main())["published_ms"])
    assert before[0] * 1000 + before[1] // 1000 <= published_ms <= after[0] * 1000 + after[1] // 1000


async def test_deltas_patch_levels_and_an_amount_of_zero_deletes(desk: Desk) -> None:
    token, n = await live(desk)
    entries = delta({"100": "0", "98": "4"}, {}) + delta({"98": "5"}, {"101": "0"}) + mark()

    assert await desk.word(line(token, n, entries, sequence="9", book=PAIR, based_on=n)) is Word.OK
    assert await desk.levels() == ({"99": "2", "98": "5"}, {})
    assert (await desk.main())["n"] == str(n + 3)
    assert [fields[b"n"] for _, fields in await desk.entries()] == [b"%d" % number for number in range(n, n + 4)]


async def test_a_level_deleted_and_set_again_in_one_call_stays(desk: Desk) -> None:
    token, n = await live(desk)
    entries = delta({"100": "0"}, {}) + delta({"100": "6"}, {})

    await desk.publish(line(token, n, entries, book=PAIR, based_on=n))
    assert (await desk.levels())[0]["100"] == "6"


async def test_every_book_key_expires_and_levels_after_main(desk: Desk) -> None:
    await live(desk)
    keys = desk.keys
    lives = [await desk.redis.pttl(key) for key in (keys.book(PAIR), keys.bids(PAIR), keys.asks(PAIR))]
    assert BOOK_TTL_MS - 1000 < lives[0] <= BOOK_TTL_MS
    assert all(BOOK_TTL_MS < life <= BOOK_TTL_MS + 1000 for life in lives[1:])


async def test_a_patch_on_an_expired_book_is_refused_but_its_entries_are_taken(desk: Desk) -> None:
    token, n = await live(desk)
    await desk.redis.delete(desk.keys.book(PAIR))

    assert await desk.word(line(token, n, delta({"1": "1"}, {}), book=PAIR, based_on=n)) is Word.REWRITE
    assert await desk.main() == {}
    assert "1" not in (await desk.levels())[0]
    assert (await desk.cell()).startswith(f"{token} {n + 1} ")


async def test_a_patch_based_on_another_n_is_refused(desk: Desk) -> None:
    token, n = await live(desk)
    await desk.publish(line(token, n, delta({"98": "1"}, {})))  # appended only: the hash trails

    assert await desk.word(line(token, n + 1, delta({"97": "1"}, {}), book=PAIR, based_on=n + 1)) is Word.REWRITE
    assert await desk.levels() == ({"100": "1", "99": "2"}, {"101": "3"})
    assert (await desk.main())["n"] == str(n)


async def test_a_flush_without_entries_is_stamped_from_the_cell(desk: Desk) -> None:
    token, n = await live(desk)
    await desk.publish(line(token, n, delta({"98": "1"}, {}), sequence="1152921504606846977"))
    entry_id = (await desk.entries())[-1][0]
    whole = ({"100": "1", "99": "2", "98": "1"}, {"101": "3"})

    flush = line(token, n + 1, [], sequence="unused", book=PAIR, levels=whole, fields=["status", "live"])
    assert await desk.word(flush) is Word.OK
    assert await desk.levels() == whole
    main = await desk.main()
    assert (main["n"], main["id"], main["sequence"]) == (str(n + 1), entry_id, "1152921504606846977")
    assert await desk.cell() == f"{token} {n + 1} 1152921504606846977 {entry_id}"


async def test_whole_state_without_a_reset_or_snapshot_before_the_deltas_is_not_flushed(desk: Desk) -> None:
    token, n = await live(desk)

    assert await desk.word(line(token, n, delta({"1": "1"}, {}) + reset(), book=PAIR)) is Word.REWRITE
    assert await desk.word(line(token, n + 2, mark(), book=PAIR)) is Word.REWRITE
    assert await desk.levels() == ({"100": "1", "99": "2"}, {"101": "3"})


async def test_a_reset_empties_the_book_also_within_a_patch(desk: Desk) -> None:
    token, n = await live(desk)

    broken = line(token, n, delta({"98": "1"}, {}) + reset(), book=PAIR, based_on=n, fields=["status", "resync"])
    assert await desk.word(broken) is Word.OK
    assert await desk.levels() == ({}, {})
    assert (await desk.main())["status"] == "resync"
    assert (await desk.cell()).split(" ")[2] == "-"
    again = line(token, n + 2, snapshot({"5": "1"}, {"6": "1"}) + delta({"4": "1"}, {}), book=PAIR, based_on=n + 2)
    assert await desk.word(again) is Word.OK
    assert await desk.levels() == ({"5": "1", "4": "1"}, {"6": "1"})


async def test_large_snapshots_arrive_whole(desk: Desk) -> None:
    lease = await desk.granted()
    bids = {str(price): "1" for price in range(1, 12_001)}
    asks = {str(price): "1" for price in range(20_000, 25_001)}

    assert await desk.word(line(lease.token, lease.n[0], snapshot(bids, asks), book=PAIR)) is Word.OK
    assert await desk.levels() == (bids, asks)
    gone = delta(dict.fromkeys(bids, "0"), {})
    assert await desk.word(line(lease.token, lease.n[0] + 1, gone, book=PAIR, based_on=lease.n[0] + 1)) is Word.OK
    assert await desk.levels() == ({}, asks)


async def test_a_side_of_many_levels_is_a_real_table_at_once(own_redis) -> None:
    server = await own_redis({"hash-max-ziplist-entries": "128"})  # the default of a server nobody has set up for us
    connection = OrderedConnection(server.url)
    await connection.connect()
    desk = Desk(redis.asyncio.Redis.from_url(server.url), connection)
    lease = await desk.granted()
    bids = {str(price): "1" for price in range(1, 34)}
    await desk.publish(line(lease.token, lease.n[0], snapshot(bids, {"50": "1"}), book=PAIR))

    assert await desk.redis.object("encoding", desk.keys.bids(PAIR)) == b"hashtable"
    assert await desk.redis.object("encoding", desk.keys.asks(PAIR)) != b"hashtable"
    assert await desk.levels() == (bids, {"50": "1"})
    await connection.close()
    await desk.redis.aclose()


async def test_another_token_is_fenced_and_nothing_is_written(desk: Desk) -> None:
    token, n = await live(desk)
    successor = await desk.granted()
    before = await desk.cell(), await desk.entries(), await desk.main()

    [verdict] = await desk.publish(line(token, n, delta({"1": "1"}, {}), book=PAIR, based_on=n))
    assert verdict == Verdict(Word.FENCED, Cell.parse(before[0]))
    assert verdict.cell is not None
    assert verdict.cell.token == successor.token
    assert (await desk.cell(), await desk.entries(), await desk.main()) == before


async def test_a_lost_cell_is_fenced(desk: Desk) -> None:
    token, n = await live(desk)
    await desk.redis.flushdb()
    assert await desk.publish(line(token, n, mark())) == [Verdict(Word.FENCED)]
    assert await desk.entries() == []


async def test_a_repeated_call_is_behind_and_appends_nothing(desk: Desk) -> None:
    token, n = await live(desk)
    call = line(token, n, mark())
    assert await desk.word(call) is Word.OK

    [verdict] = await desk.publish(call)
    assert verdict.word is Word.BEHIND
    assert verdict.cell is not None
    assert verdict.cell.n == n + 1
    assert len(await desk.entries()) == 2


async def test_a_call_after_a_lost_one_is_ahead(desk: Desk) -> None:
    token, n = await live(desk)
    [verdict] = await desk.publish(line(token, n + 1, mark()))
    assert verdict == Verdict(Word.AHEAD, Cell.parse(await desk.cell()))
    # A number whose text begins like ours is another number.
    assert await desk.word(line(token, int(f"{n}0"), mark())) is Word.AHEAD


async def test_a_refused_line_does_not_touch_the_others(desk: Desk) -> None:
    token, n = await live(desk)
    other = await desk.granted(OTHER)
    good = PublishLine(
        OTHER.label, OTHER.label, other.token, other.n[0], snapshot({"1": "1"}, {"2": "2"}), book=OTHER
    )  # fmt: skip

    verdicts = await desk.publish(line(token, n + 5, mark(), book=PAIR, based_on=n), good, line(token, n, mark()))
    assert [verdict.word for verdict in verdicts] == [Word.AHEAD, Word.OK, Word.OK]
    assert await desk.levels(OTHER) == ({"1": "1"}, {"2": "2"})
    assert (await desk.cell(OTHER.label)).startswith(f"{other.token} {other.n[0] + 1} - ")


async def test_two_lines_of_one_pair_follow_each_other_and_never_share_an_n(desk: Desk) -> None:
    token, n = await live(desk)
    verdicts = await desk.publish(line(token, n, mark()), line(token, n, mark()), line(token, n + 1, mark()))
    assert [verdict.word for verdict in verdicts] == [Word.OK, Word.BEHIND, Word.OK]
    assert [fields[b"n"] for _, fields in await desk.entries()] == [b"%d" % (n + i) for i in range(3)]


async def test_trades_have_their_own_stream_and_cell(desk: Desk) -> None:
    field = f"{LABEL}#trades"
    lease = await desk.granted(more=(field,))
    trades = PublishLine(field, LABEL, lease.token, lease.n[1], ["trade", b"payload"], trades=True)

    assert await desk.word(trades) is Word.OK
    assert await desk.entries() == []
    [(entry_id, fields)] = await desk.redis.xrange(desk.keys.trades(0))
    assert (fields[b"k"], fields[b"t"], fields[b"d"]) == (LABEL.encode(), b"trade", b"payload")
    assert await desk.cell(field) == f"{lease.token} {lease.n[1] + 1} - {entry_id.decode()}"
    assert (await desk.cell()).split(" ")[1] == str(lease.n[0])


async def test_many_lines_in_one_call(desk: Desk) -> None:
    fields = [f"p{i}" for i in range(2500)]
    lease = await desk.granted(more=tuple(fields))
    lines = [PublishLine(field, field, lease.token, lease.n[0], mark()) for field in fields]
    assert set(await desk.publish(*lines)) == {Verdict(Word.OK)}
    assert len(await desk.entries()) == 2500


@pytest.mark.parametrize("sequence", ["-", "9223372036854775807", "1765000000000000001"])
async def test_a_venue_sequence_stays_text(desk: Desk, sequence: str) -> None:
    token, n = await live(desk)
    await desk.publish(line(token, n, mark(), sequence=sequence, book=PAIR, based_on=n))
    assert (await desk.main())["sequence"] == sequence
    assert Cell.parse(await desk.cell()).sequence == sequence
