"""Redis and SQL go away under running daemons: they stay up, and all becomes right again by itself."""

import asyncio
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from fleet import clock
from fleet.pair import Pair
from tests.support.commands import assert_one_line, run_fleet
from tests.support.fleet_processes import (
    START_S,
    Fleet,
    assert_books_are_the_venues,
    decimals,
    fleet_on,
)
from tests.support.followers import Following, following
from tests.support.held_wire import held_wire
from tests.support.streams import assert_unbroken, resets

PAIRS = [
    Pair("okx", "spot", "BTC/USDT"), Pair("okx", "futures", "ETH/USDT"),
    Pair("binance", "spot", "BTC/USDT"), Pair("binance", "futures", "ETH/USDT"),
]  # fmt: skip


async def all_are(reader: Following, status: str, wait_until) -> None:
    def reached() -> bool:
        return all(seen and seen[-1] == status for seen in reader.statuses.values())

    await wait_until(reached, f"{status} at the reader: {reader}", START_S)


async def assert_reader_is_right(reader: Following, fleet: Fleet, venues, wait_until) -> None:
    await all_are(reader, "live", wait_until)
    async with venues.frozen():
        for pair in PAIRS:
            sequence, bids, asks = await venues.book(pair)
            await wait_until(lambda p=pair, s=sequence: reader.views[p].sequence == s, f"{pair} at {sequence}", START_S)
            book = reader.views[pair].book
            assert (decimals(book.bids), decimals(book.asks)) == (bids, asks), pair


async def two_daemons(fleet: Fleet) -> int:
    """Start them, wait until all is live; the highest epoch."""
    fleet.daemon()
    fleet.daemon()
    return max(book.epoch for book in await fleet.live(PAIRS))


def assert_alive(fleet: Fleet) -> None:
    for daemon in fleet.daemons:
        assert daemon.code is None, daemon
        assert not daemon.says("Traceback"), daemon


async def test_after_redis_was_restarted_empty_everything_is_built_anew(new_fleet, venues, wait_until):
    fleet = await new_fleet(PAIRS)
    before = await two_daemons(fleet)
    last_n = {book.pair: book.n for book in await fleet.books(PAIRS)}
    async with following(fleet.server.url, fleet.keys, PAIRS) as reader:
        await all_are(reader, "live", wait_until)
        await fleet.server.kill()
        await all_are(reader, "stale", wait_until)
        await fleet.server.start()
        await fleet.newer(PAIRS, before)
        await assert_reader_is_right(reader, fleet, venues, wait_until)
        for pair in PAIRS:
            entries = await fleet.entries(pair)
            assert_unbroken(entries)
            assert entries[0].n > last_n[pair]  # a visible hole, never a repeat
            assert "stale" in reader.statuses[pair]
            assert not [event for event in reader.events[pair] if event.epoch > before and event.n <= last_n[pair]]
    await wait_until(lambda: fleet.redis.exists(fleet.keys.layout()), "the layout, written again", 20)
    await assert_books_are_the_venues(fleet, venues, PAIRS)
    assert_alive(fleet)


async def test_a_failover_that_loses_the_newest_entries_is_a_fork_and_nothing_else(
    own_failover, venues, tmp_path, wait_until
):
    pair = await own_failover()
    async with fleet_on(pair, venues, tmp_path / "fleet", PAIRS) as fleet:
        before = await two_daemons(fleet)
        async with following(pair.url, fleet.keys, PAIRS) as reader:
            await all_are(reader, "live", wait_until)
            await pair.stop_copying()
            kept = {book.pair: book.n for book in await fleet.books(PAIRS)}
            await wait_until(
                lambda: all(reader.views[p].n > kept[p] + 5 for p in PAIRS), f"a tail to lose: {reader}", START_S
            )
            await pair.fail_over()

            async def served_anew() -> bool:
                try:
                    return all(book.live and book.epoch > before for book in await fleet.books(PAIRS))
                except RedisError:
                    return False  # the cut connection of the test's own client

            await wait_until(served_anew, f"live books under new tokens: {fleet.daemons}", START_S)
            await assert_reader_is_right(reader, fleet, venues, wait_until)
        for one in PAIRS:
            entries = await fleet.entries(one)
            assert_unbroken(entries)
            again = [entry for entry in entries if entry.epoch > before]
            assert again[0].n <= kept[one] + 1  # numbers that the lost tail had too, under a higher epoch
        await assert_books_are_the_venues(fleet, venues, PAIRS)
        assert_alive(fleet)


async def test_an_emptied_redis_is_filled_anew(new_fleet, venues, wait_until):
    """FLUSHALL: no connection breaks, nobody is told; the writes find out."""
    fleet = await new_fleet(PAIRS)
    before = await two_daemons(fleet)
    async with following(fleet.server.url, fleet.keys, PAIRS) as reader:
        await all_are(reader, "live", wait_until)
        await fleet.redis.flushall()
        await fleet.newer(PAIRS, before)
        await assert_reader_is_right(reader, fleet, venues, wait_until)
        for one in PAIRS:
            assert_unbroken(await fleet.entries(one))
    await wait_until(lambda: fleet.redis.exists(fleet.keys.layout()), "the layout, written again", 20)
    await assert_books_are_the_venues(fleet, venues, PAIRS)
    assert_alive(fleet)


async def test_a_redis_that_hung_longer_than_the_leases_is_taken_up_again(new_fleet, venues, wait_until):
    fleet = await new_fleet(PAIRS)
    before = await two_daemons(fleet)
    async with following(fleet.server.url, fleet.keys, PAIRS) as reader:
        await all_are(reader, "live", wait_until)
        fleet.server.pause()
        try:
            since_ms = clock.mono_ms()
            await all_are(reader, "stale", wait_until)
            leases_ms = 2 * int(fleet.environment["FLEET_LEASE_MS"])
            await wait_until(lambda: clock.mono_ms() - since_ms > leases_ms, "two lease times to pass")
        finally:
            fleet.server.resume()
        await fleet.newer(PAIRS, before)
        await assert_reader_is_right(reader, fleet, venues, wait_until)
    for pair in PAIRS:
        assert_unbroken(await fleet.entries(pair))
    await assert_books_are_the_venues(fleet, venues, PAIRS)
    assert_alive(fleet)


async def test_cut_connections_cost_no_entry_and_no_reset(new_fleet, venues, wait_until):
    fleet = await new_fleet(PAIRS, FLEET_LEASE_MS="6000")
    before = await two_daemons(fleet)
    numbers = {book.pair: book.n for book in await fleet.books(PAIRS)}
    async with following(fleet.server.url, fleet.keys, PAIRS) as reader:
        await all_are(reader, "live", wait_until)
        for _ in range(3):
            before = max([before, *[book.epoch for book in await fleet.books(PAIRS)]])  # a new one may be there at once
            assert await fleet.redis.client_kill_filter(_type="normal", skipme=True) > 0
            await fleet.newer(PAIRS, before)
        await assert_reader_is_right(reader, fleet, venues, wait_until)
    for pair in PAIRS:
        entries = await fleet.entries(pair)
        assert_unbroken(entries)
        assert resets(entries, after_n=numbers[pair]) == []
    await assert_books_are_the_venues(fleet, venues, PAIRS)
    assert_alive(fleet)


async def test_without_sql_the_last_tasks_stay_in_force(new_fleet, mariadb_url, wait_until):
    server_port = urlsplit(mariadb_url).port
    assert server_port is not None
    new = Pair("okx", "spot", "SOL/USDT")
    async with held_wire(server_port) as wire:
        url = mariadb_url.replace(f":{server_port}/", f":{wire.port}/")
        fleet = await new_fleet(PAIRS[:2], FLEET_DATABASE_URL=url)
        daemon = fleet.daemon()
        await fleet.live(PAIRS[:2])
        await wire.cut()
        await daemon.said("the last good tasks stay in force")
        numbers = {book.pair: book.n for book in await fleet.live(PAIRS[:2])}

        async def go_on() -> bool:
            found = await fleet.books(PAIRS[:2])
            return all(book.live and book.n > numbers[book.pair] + 10 for book in found)

        await wait_until(go_on, "books that go on without SQL", 20)
        await wire.listen()
        await daemon.said("SQL answers again")
        await fleet.add_tasks([new])
        await fleet.live([*PAIRS[:2], new])
        for pair in PAIRS[:2]:
            assert resets(await fleet.entries(pair)) == []
        assert_alive(fleet)


async def test_a_daemon_that_starts_without_sql_says_so_in_one_line(new_fleet, free_port):
    fleet = await new_fleet([])
    url = f"mysql://fleet:hush-hush@127.0.0.1:{free_port()}/fleet"
    ended = await asyncio.to_thread(run_fleet, "daemon", **{**fleet.environment, "FLEET_DATABASE_URL": url})
    assert_one_line(ended, 4, "does not answer", "is the server up")
    assert "hush-hush" not in ended.err


async def test_a_wrong_redis_password_is_one_line_without_the_password(own_redis, sqlite_url):
    server = await own_redis({"requirepass": "right-word"})
    url = server.url.replace("right-word", "wrong-word")
    ended = await asyncio.to_thread(
        run_fleet, "daemon", FLEET_REDIS_URL=url, FLEET_DATABASE_URL=sqlite_url, FLEET_ROLES="feed"
    )
    assert_one_line(ended, 4, "login refused", "FLEET_REDIS_URL")
    assert "wrong-word" not in ended.err
