"""ops/chaos/probe.py: what a reader was promised is noted, and a live book is held against the truth."""

from collections.abc import Callable

import redis.asyncio

from books.loaded import LoadedBook
from fleet.clock import mono_ms
from fleet.keys import Keys
from ops.chaos.checker import check
from ops.chaos.history import History, Invariant, Reading
from ops.chaos.probe import Probe
from ops.embedded.process import free_port
from tests.support.small_fleet import BTC, ETH, SmallFleet

NewProbe = Callable[..., Probe]


async def agree(_book: LoadedBook) -> str:
    return ""


async def differ(book: LoadedBook) -> str:
    return f"{len(book.bids)} bids, the venue has none"


async def test_a_live_book_is_noted_with_its_age_number_and_owner(fleet_in_redis: SmallFleet) -> None:
    fleet = fleet_in_redis
    token = await fleet.make_live(BTC)
    noted: list[Reading] = []
    await Probe(fleet.client, fleet.keys, [BTC, ETH], noted.extend, mono_ms=mono_ms, wrong=agree).round()

    live, missing = noted
    assert (live.label, live.status, live.epoch, live.n, live.lease_alive) == (
        BTC.label,
        "live",
        token,
        token + 1,
        True,
    )
    assert live.age_ms is not None
    assert (missing.label, missing.status, missing.age_ms) == (ETH.label, "missing", None)
    assert check(History(tape=[], readings=noted), rule_of=lambda _: None).sound


async def test_a_live_book_that_is_wrong_is_a_violation_and_a_stale_one_promises_nothing(
    fleet_in_redis: SmallFleet,
) -> None:
    fleet = fleet_in_redis
    await fleet.make_live(BTC)
    noted: list[Reading] = []
    probe = Probe(fleet.client, fleet.keys, [BTC], noted.extend, mono_ms=mono_ms, wrong=differ)
    await probe.round()
    await fleet.kill_owner(BTC)
    await probe.round()

    assert [(one.status, one.wrong) for one in noted] == [("live", "3 bids, the venue has none"), ("stale", "")]
    [violation] = check(History(tape=[], readings=noted), rule_of=lambda _: None).violations
    assert violation.invariant is Invariant.FRESH


async def test_a_redis_that_does_not_answer_promises_nothing() -> None:
    noted: list[Reading] = []
    async with redis.asyncio.Redis(host="127.0.0.1", port=free_port()) as nobody:
        probe = Probe(nobody, Keys(), [BTC], noted.extend, mono_ms=mono_ms)
        assert await probe.read(BTC) is None
    assert (noted, probe.failures, probe.readings) == ([], 1, 0)
