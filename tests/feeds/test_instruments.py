"""Metadata: loaded, refreshed, and what is said of a pair that is not there."""

import asyncio
import json
import random

import pytest

from feeds import instruments as module
from feeds.instruments import InstrumentLoader, budget_name, why_unknown
from feeds.outputs import Failure, FailureKind
from feeds.venue import Instruments, InstrumentStatus, Refused, RestRequest
from fleet.pair import Pair
from tests.support.fake_venue import FakeVenue, instrument, pair_of


class FakeRest:
    """Gives the answers in turn, the last one for ever."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.asked: list = []

    async def ask(self, base_url, request, budget, *, priority=0, forbidden_ban_ms=None):
        self.asked.append((base_url, request.path, budget))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def listed(*symbols: str) -> bytes:
    return json.dumps(symbols).encode()


async def run_until(loader: InstrumentLoader, wait_until, condition, description: str) -> list[Instruments]:
    loaded: list[Instruments] = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(loader.run(loaded.append))
        await wait_until(lambda: condition(loaded), description)
        task.cancel()
    return loaded


def make(*answers, refresh_s: float = 1000.0) -> InstrumentLoader:
    return InstrumentLoader(FakeVenue(), "http://host", FakeRest(*answers), random.Random(1), refresh_s=refresh_s)


async def test_instruments_are_loaded_once_and_handed_on(wait_until):
    loader = make(listed("AAA", "BBB"))
    assert loader.reason == "the venue's instruments are not loaded yet"
    (loaded,) = await run_until(loader, wait_until, lambda loaded: loaded, "a load")
    assert set(loaded.by_pair) == {pair_of("AAA"), pair_of("BBB")}
    assert loader.reason == ""
    assert loader._rest.asked == [("http://host", "/instruments", "nowhere:spot:rest")]


@pytest.mark.parametrize(
    "failure, text",
    [
        (Failure(FailureKind.SERVER, "HTTP 503"), "server: HTTP 503"),
        (b"<html>", "no metadata"),
        (listed(), "the list is empty"),
        (b"5", "no metadata"),
    ],
)
async def test_a_failed_load_says_why_and_is_repeated(failure, text, wait_until, monkeypatch):
    monkeypatch.setattr(module.backoff, "delays", lambda rng: iter([0.01] * 50))
    loader = make(failure, failure, listed("AAA"))
    reasons = []
    await run_until(
        loader, wait_until, lambda loaded: (loader.reason and reasons.append(loader.reason)) or loaded, "a load"
    )
    assert any(text in reason for reason in reasons)
    assert loader.failures == 2


async def test_a_decoders_bug_is_a_failure_like_another(wait_until, monkeypatch):
    loader = make(listed("AAA"))
    monkeypatch.setattr(loader.venue, "parse_instruments", lambda bodies: 1 // 0, raising=False)
    await run_until(loader, wait_until, lambda _: loader.failures, "a failure")
    assert "fault of our own: ZeroDivisionError" in loader.reason


async def test_a_refresh_brings_new_instruments_and_keeps_those_that_disappeared_as_delisted(wait_until):
    loader = make(listed("AAA", "BBB"), listed("BBB", "CCC"), refresh_s=0.01)
    loaded = await run_until(loader, wait_until, lambda loaded: len(loaded) >= 3, "two refreshes")
    assert {pair.pair: one.status for pair, one in loaded[-1].by_pair.items()} == {
        "AAA/USD": InstrumentStatus.DELISTED,
        "BBB/USD": InstrumentStatus.TRADING,
        "CCC/USD": InstrumentStatus.TRADING,
    }


async def test_a_failed_refresh_keeps_what_was_loaded(wait_until):
    loader = make(listed("AAA"), Failure(FailureKind.TIMEOUT, "no answer"), refresh_s=0.01)
    await run_until(loader, wait_until, lambda _: loader.failures, "a failed refresh")
    assert set(loader.instruments.by_pair) == {pair_of("AAA")}


def test_an_unknown_pair_is_answered_with_the_nearest_known():
    known = Instruments([instrument("BTC"), instrument("ETH")])
    assert "did you mean BTC/USD?" in why_unknown(known, Pair("nowhere", "spot", "BTC/USDT"))
    assert why_unknown(known, Pair("nowhere", "spot", "QQQQQQ/ZZZ")).endswith(
        "is not among the 2 spot pairs of nowhere"
    )


def test_a_pair_that_is_listed_but_not_taken_is_answered_with_the_reason():
    known = Instruments([instrument("BTC")], [Refused("ETH-USD", "dated future")])
    assert "dated future" in why_unknown(known, Pair("nowhere", "futures", "ETH/USD"))


def test_budgets_are_named_by_venue_and_market():
    assert budget_name(FakeVenue(), "connect") == "nowhere:spot:connect"


class PagedVenue(FakeVenue):
    """Every page but an empty one names the next."""

    def more_instruments(self, request: RestRequest, body: bytes) -> RestRequest | None:
        page = int(request.path.partition("?page=")[2] or "1") + 1
        return RestRequest(f"/instruments?page={page}", 1) if json.loads(body) else None


async def test_pages_are_asked_for_until_the_last(wait_until):
    rest = FakeRest(listed("AAA", "BBB"), listed("CCC"), listed())
    loader = InstrumentLoader(PagedVenue(), "http://host", rest, random.Random(1))
    (loaded,) = await run_until(loader, wait_until, lambda loaded: loaded, "a load")
    assert [path for _, path, _ in rest.asked] == ["/instruments", "/instruments?page=2", "/instruments?page=3"]
    assert {pair.pair for pair in loaded.by_pair} == {"AAA/USD", "BBB/USD", "CCC/USD"}


async def test_a_venue_whose_pages_never_end_is_a_failed_load(wait_until):
    loader = InstrumentLoader(PagedVenue(), "http://host", FakeRest(listed("AAA")), random.Random(1))
    await run_until(loader, wait_until, lambda _: loader.failures, "a failure")
    assert "more than 100 pages" in loader.reason
