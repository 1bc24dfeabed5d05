"""Whole daemons as processes: killed, paused, stopped in order, two of them at once, and those that cannot start."""

import asyncio
import signal

import pytest

from books.loaded import LoadedBook
from fleet.pair import Pair
from tests.support.commands import assert_one_line, run_fleet
from tests.support.fleet_processes import START_S, Child, Fleet, assert_books_are_the_venues
from tests.support.followers import following
from tests.support.held_wire import held_wire
from tests.support.streams import assert_unbroken, assert_were_true, epochs, resets

OKX = Pair("okx", "spot", "BTC/USDT")
BINANCE = Pair("binance", "futures", "ETH/USDT")
PAIRS = [
    OKX, BINANCE, Pair("okx", "futures", "ETH/USDT"), Pair("binance", "spot", "BTC/USDT"),
    Pair("htx", "spot", "ETH/USDT"), Pair("mexc", "spot", "BTC/USDT"),
]  # fmt: skip
MORE = [Pair("okx", market, f"{base}/USDT") for base in ("SOL", "XRP", "DOGE", "ADA") for market in ("spot", "futures")]


async def both_own(fleet: Fleet, one: Child, other: Child) -> list[Pair]:
    """Who gets a pair is as good as random: ask for more until both have some. All pairs asked for."""
    asked = list(PAIRS)
    await fleet.live(asked)
    for pair in MORE:
        if await fleet.owned_by(one, asked) and await fleet.owned_by(other, asked):
            return asked
        await fleet.add_tasks([pair])
        asked.append(pair)
        await fleet.live([pair])
    raise AssertionError(f"all {len(asked)} pairs went to one daemon")


async def sample(fleet: Fleet, pairs, seen: dict[Pair, list[LoadedBook]]) -> None:
    """Keep every live book that a reader would have got, until cancelled."""
    while True:
        for book in await fleet.books(pairs):
            if book.live:
                seen[book.pair].append(book)
        await asyncio.sleep(0)


# --- killed ---------------------------------------------------------------------------------------------------------


async def test_a_killed_daemons_book_turns_stale_then_goes_and_the_next_daemon_goes_on(new_fleet, wait_until):
    fleet = await new_fleet([OKX, BINANCE], FLEET_BOOK_TTL_MS="3000")
    first = fleet.daemon()
    await fleet.live([OKX, BINANCE])
    async with following(fleet.server.url, fleet.keys, [OKX]) as reader:
        await wait_until(lambda: reader.statuses[OKX] == ["live"], "a reader")
        statuses = ["live"]

        async def watch_until(status: str) -> None:
            async def seen() -> bool:
                now = (await fleet.book(OKX)).status
                if statuses[-1] != now:
                    statuses.append(now)
                return now == status

            await wait_until(seen, f"{status} after {statuses}", 20)

        await first.kill()
        before = (await fleet.book(OKX)).epoch
        await watch_until("stale")
        assert (await fleet.redis.ttl(fleet.keys.book(OKX))) >= 0
        shown = await fleet.command("book", *OKX, "--json")
        assert (shown.code, shown.json["bids"]) == (3, [])
        await watch_until("missing")
        assert statuses == ["live", "stale", "missing"]
        assert_one_line(await fleet.command("book", *OKX), 3, "okx spot BTC/USDT is missing")
        assert first.code == -signal.SIGKILL

        fleet.daemon()
        await fleet.newer([OKX, BINANCE], before)
        await wait_until(lambda: reader.statuses[OKX][-1] == "live", f"the reader to go on: {reader}")
        entries = await fleet.entries(OKX)
        assert_unbroken(entries)
        assert len(epochs(entries)) >= 2
        news = [event for event in reader.events[OKX] if event.epoch > before]
        assert [type(event).__name__ for event in news[:2]] == ["Reset", "Snapshot"]
        assert (news[0].reason, reader.statuses[OKX][:2]) == ("takeover", ["live", "stale"])


async def test_the_other_daemon_takes_over_all_that_a_killed_one_had(new_fleet, venues, wait_until):
    fleet = await new_fleet(PAIRS)
    one, other = fleet.daemon(), fleet.daemon()
    asked = await both_own(fleet, one, other)
    await one.kill()  # its leases outlive it; asked before, pairs might still be moving
    kept, lost = await fleet.owned_by(other, asked), await fleet.owned_by(one, asked)
    assert kept
    assert lost
    before = await fleet.books(asked)
    for book in await fleet.newer(lost, max(book.epoch for book in before)):
        assert book.owner.split(":")[1] == str(other.pid)
    for book in before:
        entries = await fleet.entries(book.pair)
        assert_unbroken(entries)
        # a heir that was to own the pair anyway may be warm already, and goes on without a word
        assert resets(entries, after_n=book.n) in ([["takeover"], []] if book.pair in lost else [[]])
    await assert_books_are_the_venues(fleet, venues, asked)


# --- quiet ----------------------------------------------------------------------------------------------------------


async def test_a_quiet_pair_of_a_living_daemon_stays_live(new_fleet, venues):
    fleet = await new_fleet([OKX, BINANCE], FLEET_LEASE_MS="3000")
    daemon = fleet.daemon()
    quiet = {book.pair: book for book in await fleet.live([OKX, BINANCE])}
    longest_ms = max(int(fleet.environment[name]) for name in ("FLEET_BOOK_TTL_MS", "FLEET_LEASE_MS"))
    async with (
        venues.misbehaving("okx", "spot", "stall", pair=OKX.pair),  # its connection goes on
        venues.misbehaving("binance", "futures", "freeze_market"),  # nothing moves there any more
    ):
        waiting = {OKX, BINANCE}
        async with asyncio.timeout(60):
            while waiting:
                for book in await fleet.books([OKX, BINANCE]):
                    assert book.live, (book.pair, book.status, daemon)
                    quiet[book.pair] = book
                    if book.now_ms - book.published_ms > longest_ms + 1000:
                        waiting.discard(book.pair)
                await asyncio.sleep(0.02)
    for book in quiet.values():
        assert book.checked_ms > book.published_ms
        assert resets(await fleet.entries(book.pair)) == []


# --- paused ---------------------------------------------------------------------------------------------------------


async def test_a_paused_writers_late_write_is_fenced_and_the_writer_lives_on(new_fleet, venues, wait_until):
    fleet = await new_fleet(PAIRS)
    async with held_wire(fleet.server.port) as wire:
        paused = fleet.daemon(FLEET_REDIS_URL=f"redis://127.0.0.1:{wire.port}/0")
        before = max(book.epoch for book in await fleet.live(PAIRS))
        # what it sends now arrives later, as from a machine that was suspended in the middle of a write
        wire.hold()
        await wait_until(lambda: b"delta" in wire.held, "a write under way")
        paused.pause()
        other = fleet.daemon()
        await fleet.newer(PAIRS, before)
        assert b"FENCED" not in wire.replies
        wire.release()
        await wait_until(lambda: b"FENCED" in wire.replies, "the refusal of the late write")
        paused.resume()
        await paused.said("in doubt")  # it has seen the refusal, or the clock, or a connection that is too old
        for pair in PAIRS:
            entries = await fleet.entries(pair)
            assert_unbroken(entries)
            assert epochs(entries)[0] <= before
            assert len(epochs(entries)) >= 2
        await other.kill()

        async def all_are_back() -> bool:
            books = await fleet.books(PAIRS)
            return all(book.live and book.owner.split(":")[1] == str(paused.pid) for book in books)

        await wait_until(all_are_back, "every book live at the daemon that was paused", 40)
        await assert_books_are_the_venues(fleet, venues, PAIRS)


@pytest.mark.parametrize(
    ("lease_ms", "name"), [("1000", "after its lease"), ("8000", "within its lease")], ids=lambda text: text
)
async def test_a_book_is_never_live_with_levels_missing(new_fleet, wait_until, lease_ms, name):
    fleet = await new_fleet([OKX, BINANCE], FLEET_LEASE_MS=lease_ms, FLEET_BOOK_TTL_MS="1000")
    daemon = fleet.daemon()
    pairs = [OKX, BINANCE]
    await fleet.live(pairs)
    keys = [key(pair) for pair in pairs for key in (fleet.keys.book, fleet.keys.bids, fleet.keys.asks)]
    seen: dict[Pair, list[LoadedBook]] = {pair: [] for pair in pairs}

    async def gone() -> bool:
        return await fleet.redis.exists(*keys) == 0

    def sampled_after(n: dict[Pair, int]) -> bool:
        return all(len({book.n for book in seen[pair] if book.n > n[pair]}) > 3 for pair in pairs)

    async with asyncio.TaskGroup() as group:
        sampler = group.create_task(sample(fleet, pairs, seen))
        await wait_until(lambda: all(seen.values()), "a sample of each pair", 20)
        daemon.pause()
        await wait_until(gone, "the expiry of all hashes", 20)
        before = {pair: seen[pair][-1].n for pair in pairs}
        daemon.resume()
        await wait_until(lambda: sampled_after(before), "several live books after the pause", 20)
        sampler.cancel()
    for pair in pairs:
        entries = await fleet.entries(pair)
        assert_unbroken(entries)
        assert_were_true(seen[pair], entries)


# --- stopped --------------------------------------------------------------------------------------------------------


async def test_a_stopped_daemon_gives_its_pairs_back_at_once_and_ends_with_0(new_fleet, venues, wait_until):
    # a lease much longer than the test: whoever gets the pairs got them by their release
    fleet = await new_fleet(PAIRS, FLEET_LEASE_MS="60000", FLEET_BOOK_TTL_MS="10000")
    one = fleet.daemon()
    before = max(book.epoch for book in await fleet.live(PAIRS))
    other = fleet.daemon()

    async def both_are_members() -> bool:
        return len(await fleet.members()) == 2

    await wait_until(both_are_members, "two members", START_S)
    one.terminate()
    assert await one.ended() == 0
    assert await fleet.owned_by(one, PAIRS) == []
    assert [member.pid for member in await fleet.members()] == [other.pid]
    await fleet.newer(PAIRS, before)
    for pair in PAIRS:
        entries = await fleet.entries(pair)
        assert_unbroken(entries)
        assert len(epochs(entries)) >= 2
    await assert_books_are_the_venues(fleet, venues, PAIRS)


async def test_a_second_sigterm_ends_a_daemon_that_cannot_finish(new_fleet):
    fleet = await new_fleet([OKX])
    daemon = fleet.daemon()
    await fleet.live([OKX])
    fleet.server.pause()  # its last words cannot be said
    try:
        daemon.terminate()
        await daemon.said("stopping: SIGTERM")
        assert daemon.code is None
        daemon.terminate()
        assert await daemon.ended() == 128 + signal.SIGTERM
        assert daemon.says("SIGTERM again: exiting at once")
    finally:
        fleet.server.resume()


# --- not started ----------------------------------------------------------------------------------------------------


def test_without_a_database_url_it_says_so(redis_url):
    assert_one_line(run_fleet("daemon", FLEET_REDIS_URL=redis_url), 2, "FLEET_DATABASE_URL is not set", "sqlite:///")


def test_without_the_tables_it_names_the_mend(redis_url, sqlite_url):
    ended = run_fleet("daemon", FLEET_REDIS_URL=redis_url, FLEET_DATABASE_URL=sqlite_url, FLEET_ROLES="feed")
    assert_one_line(ended, 5, "is missing", "fleet init")


def test_without_redis_it_ends_with_4(sqlite_url, free_port):
    url = f"redis://:hush-hush@127.0.0.1:{free_port()}/0"
    ended = run_fleet("daemon", FLEET_REDIS_URL=url, FLEET_DATABASE_URL=sqlite_url, FLEET_ROLES="feed")
    assert_one_line(ended, 4, "connection refused", "is redis-server running there?")
    assert "hush-hush" not in ended.err


async def test_with_another_layout_it_ends_with_6(redis_url, sqlite_url, fleet_in_redis):
    ended = run_fleet(
        "daemon", FLEET_REDIS_URL=redis_url, FLEET_DATABASE_URL=sqlite_url, FLEET_SHARDS="3", FLEET_ROLES="feed"
    )
    assert_one_line(ended, 6, "16 shards", "set FLEET_SHARDS=16")


def test_with_a_misspelt_setting_it_names_the_right_one(redis_url, sqlite_url):
    ended = run_fleet(
        "daemon", FLEET_REDIS_URL=redis_url, FLEET_DATABASE_URL=sqlite_url, FLEET_LEASE="1000", FLEET_ROLES="feed"
    )
    assert_one_line(ended, 2, "FLEET_LEASE", "did you mean FLEET_LEASE_MS?")
