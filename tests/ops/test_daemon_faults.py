"""What venues and operators do to running daemons: it costs the pair concerned and no other.

One daemon for the whole file: each test starts from live books and leaves live books behind.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from books.events import Reset
from fleet.pair import Pair
from fleet.tasks import Task
from ops.embedded.redis import EmbeddedRedis
from tests.support.fleet_processes import SETTLE_S, START_S, Fleet, assert_books_are_the_venues, fleet_on
from tests.support.simulated_venues import SimulatedVenues
from tests.support.streams import assert_unbroken, resets
from tests.support.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

OKX_BTC = Pair("okx", "spot", "BTC/USDT")
OKX_ETH = Pair("okx", "spot", "ETH/USDT")
SPOT = Pair("binance", "spot", "BTC/USDT")
FUTURES = Pair("binance", "futures", "ETH/USDT")
PAIRS = [OKX_BTC, OKX_ETH, SPOT, FUTURES]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(server_directory: Path, venues: SimulatedVenues) -> AsyncIterator[Fleet]:
    """One daemon on a private Redis."""
    folder = server_directory / "daemon-faults"
    async with (
        EmbeddedRedis(folder / "redis") as server,
        # a lease and an expiry that no busy machine lets run out: a Reset here has its reason in the test
        fleet_on(server, venues, folder, PAIRS, FLEET_LEASE_MS="10000", FLEET_BOOK_TTL_MS="10000") as fleet,
    ):
        fleet.daemon()
        await fleet.live(PAIRS)
        yield fleet


@pytest_asyncio.fixture(loop_scope="module")
async def fleet(running: Fleet) -> AsyncIterator[Fleet]:
    """The running fleet, all its books live; after the test the daemon still runs and never failed."""
    await running.live(PAIRS)
    yield running
    [daemon] = running.daemons
    assert daemon.code is None, daemon
    assert not daemon.says("Traceback"), daemon


async def numbers(fleet: Fleet, pairs: Sequence[Pair]) -> dict[Pair, int]:
    return {book.pair: book.n for book in await fleet.books(pairs)}


async def resets_since(fleet: Fleet, before: dict[Pair, int]) -> dict[Pair, list[str]]:
    """Of each pair, once it has gone on: the reasons of its Resets since then. Its chain must be whole."""

    async def gone_on() -> bool:
        found = await fleet.books(before)
        return all(book.live and book.n > before[book.pair] + 5 for book in found)

    await wait_until(gone_on, f"books that go on after {before}: {fleet.daemons}", SETTLE_S)
    found = {}
    for pair, n in before.items():
        entries = await fleet.entries(pair)
        assert_unbroken(entries)
        found[pair] = resets(entries, after_n=n)
    return found


async def reset_of(fleet: Fleet, pair: Pair, after_n: int) -> Reset:
    """Wait for the pair's first Reset above n."""

    async def found() -> Reset | None:
        entries = await fleet.entries(pair)
        return next((entry for entry in entries if isinstance(entry, Reset) and entry.n > after_n), None)

    reset = await wait_until(found, f"a Reset of {pair}", SETTLE_S, poll_s=0.05)
    assert reset is not None
    return reset


async def test_connections_closed_by_a_venue_reset_its_pairs_alone(fleet: Fleet, venues: SimulatedVenues):
    before = await numbers(fleet, PAIRS)
    await venues.misbehave("okx", "spot", "close_all", hard=True)
    assert (await reset_of(fleet, OKX_BTC, before[OKX_BTC])).reason == "disconnect"
    assert (await reset_of(fleet, OKX_ETH, before[OKX_ETH])).reason == "disconnect"
    assert await resets_since(fleet, before) == {
        OKX_BTC: ["disconnect"], OKX_ETH: ["disconnect"], SPOT: [], FUTURES: []
    }  # fmt: skip
    await assert_books_are_the_venues(fleet, venues, PAIRS)


@pytest.mark.parametrize("lossy", [OKX_BTC, SPOT], ids=lambda pair: pair.label)
async def test_a_lost_delta_resets_that_pair_alone(fleet: Fleet, venues: SimulatedVenues, lossy: Pair):
    before = await numbers(fleet, PAIRS)
    gaps = (await fleet.states())[lossy.label]["gaps"]
    await venues.misbehave(lossy.venue, lossy.market, "drop", pair=lossy.pair)
    assert (await reset_of(fleet, lossy, before[lossy])).reason == "gap"
    assert await resets_since(fleet, before) == {pair: ["gap"] if pair == lossy else [] for pair in PAIRS}

    async def counted() -> bool:
        return (await fleet.states())[lossy.label]["gaps"] > gaps

    await wait_until(counted, "the gap in what the daemon says of the pair", SETTLE_S)
    await assert_books_are_the_venues(fleet, venues, PAIRS)


async def test_a_frame_that_cannot_be_read_is_kept_and_costs_no_book(fleet: Fleet, venues: SimulatedVenues):
    before = await numbers(fleet, PAIRS)
    key = fleet.keys.samples("okx", "spot")
    await fleet.redis.delete(key)
    await venues.misbehave("okx", "spot", "garbage", pair=OKX_BTC.pair)
    await wait_until(lambda: fleet.redis.llen(key), "a sample in Redis", SETTLE_S)
    reason, _, frame = (await fleet.redis.lindex(key, 0)).partition(b"\n")
    assert reason
    assert frame.startswith(b'{"')
    assert b"BTC-USDT" in frame
    assert 0 < await fleet.redis.ttl(key) <= 24 * 3600
    await fleet.daemons[0].said("okx spot: a frame could not be read")
    assert await resets_since(fleet, before) == {pair: [] for pair in PAIRS}


async def test_a_crossed_book_is_never_shown(fleet: Fleet, venues: SimulatedVenues):
    before = await numbers(fleet, PAIRS)
    await venues.misbehave("binance", "futures", "crossed", pair=FUTURES.pair)
    assert (await reset_of(fleet, FUTURES, before[FUTURES])).reason == "crossed"
    assert await resets_since(fleet, before) == {pair: ["crossed"] if pair == FUTURES else [] for pair in PAIRS}
    await assert_books_are_the_venues(fleet, venues, PAIRS)


async def test_what_cannot_be_had_is_shown_with_its_reason(fleet: Fleet):
    unlisted, nowhere = Pair("okx", "spot", "NOPE/USDT"), Pair("nowhere", "spot", "BTC/USDT")
    before = await numbers(fleet, PAIRS)
    await fleet.add_tasks([unlisted, nowhere])
    try:

        async def refused() -> bool:
            states = await fleet.states()
            return all(states.get(pair.label, {}).get("state") == "refused" for pair in (unlisted, nowhere))

        await wait_until(refused, "two refused pairs", SETTLE_S)
        states = await fleet.states()
        assert "NOPE/USDT" in states[unlisted.label]["reason"]
        assert "nowhere" in states[nowhere.label]["reason"]
        assert (await fleet.book(unlisted)).status == "missing"
        assert await resets_since(fleet, before) == {pair: [] for pair in PAIRS}
        shown = await fleet.command("status", "--json")
        refusals = {row["pair"]: row["status"] for row in shown.json["pairs"] if row["status"] == "refused"}
        assert refusals == {"NOPE/USDT": "refused", "BTC/USDT": "refused"}
    finally:
        for pair in (unlisted, nowhere):
            await fleet.tasks.remove_pair(pair)

    async def forgotten() -> bool:
        return not {unlisted.label, nowhere.label} & (await fleet.states()).keys()

    await wait_until(forgotten, "what is not asked for any more to be forgotten", SETTLE_S)


async def test_a_pair_comes_with_its_task_and_goes_with_it(fleet: Fleet):
    pair = Pair("okx", "futures", "SOL/USDT")
    before = await numbers(fleet, PAIRS)
    await fleet.add_tasks([pair])
    await fleet.live([pair])
    assert await fleet.tasks.remove_pair(pair) == 1

    async def released() -> bool:
        return await fleet.redis.exists(fleet.keys.lease(pair)) == 0

    await wait_until(released, "the lease to be given back", SETTLE_S)
    last = (await fleet.entries(pair))[-1]
    assert isinstance(last, Reset)
    assert last.reason == "unsubscribed"
    assert (await fleet.book(pair)).status == "stale"
    assert await resets_since(fleet, before) == {pair: [] for pair in PAIRS}


async def test_another_depth_takes_effect_in_a_running_daemon(fleet: Fleet, venues: SimulatedVenues):
    pair = Pair("binance", "spot", "SOL/USDT")
    before = await numbers(fleet, PAIRS)
    await fleet.add_tasks([pair], depth="20")
    [shallow] = await fleet.live([pair])
    assert (len(shallow.bids), len(shallow.asks), shallow.depth) == (20, 20, "20")
    # the deepest wish counts
    [deeper] = await fleet.tasks.add([Task(table="MONITORING", pair=pair, depth="50")])

    async def deep() -> bool:
        found = await fleet.book(pair)
        return found.live and found.depth == "50" and len(found.bids) > 50

    await wait_until(deep, f"the deeper book: {fleet.daemons}", START_S)
    await assert_books_are_the_venues(fleet, venues, [pair])
    assert await fleet.tasks.remove("MONITORING", deeper.id) == 1

    async def shallow_again() -> bool:
        found = await fleet.book(pair)
        return found.live and found.depth == "20" and len(found.bids) == 20

    await wait_until(shallow_again, f"the shallow book: {fleet.daemons}", START_S)
    assert_unbroken(await fleet.entries(pair))
    assert await resets_since(fleet, before) == {pair: [] for pair in PAIRS}
    await fleet.tasks.remove_pair(pair)
