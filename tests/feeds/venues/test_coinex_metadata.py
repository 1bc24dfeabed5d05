"""CoinEx instruments: which are taken, which are refused and why; and whether the venue is open."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from feeds.venue import Instrument, Instruments, InstrumentStatus, Undecodable
from feeds.venues.coinex.metadata import parse
from fleet.pair import Pair

NOW_MS = 1_790_000_000_000
SPOT: dict[str, Any] = {
    "market": "BTCUSDT", "taker_fee_rate": "0.002", "maker_fee_rate": "0.002", "min_amount": "0.0005", "base_ccy": "BTC",
    "quote_ccy": "USDT", "base_ccy_precision": 8, "quote_ccy_precision": 2, "is_amm_available": True,
    "is_margin_available": True, "is_pre_trading_available": False, "status": "online", "is_api_trading_available": True,
    "delisted_at": 0,
}  # fmt: skip
FUTURES: dict[str, Any] = {
    "market": "BTCUSDT", "contract_type": "linear", "min_amount": "0.0005", "base_ccy": "BTC", "quote_ccy": "USDT",
    "base_ccy_precision": 8, "quote_ccy_precision": 2, "tick_size": "0.50", "is_market_available": True,
    "leverage": ["3", "5"], "open_interest_volume": "100",
}  # fmt: skip
PAIR = Pair("coinex", "spot", "BTC/USDT")


def body(data: object, code: int = 0, message: str = "OK") -> bytes:
    return json.dumps({"code": code, "data": data, "message": message}).encode()


PING, TIME, OPEN = body({"result": "pong"}), body({"timestamp": NOW_MS}), body([])


def spot(**changed: object) -> Instruments:
    return parse("spot", [PING, TIME, OPEN, body([SPOT | changed])])


def futures(**changed: object) -> Instruments:
    return parse("futures", [PING, TIME, OPEN, body([FUTURES | changed])])


def test_steps_of_spot_are_powers_of_ten() -> None:
    assert spot().by_pair[PAIR] == Instrument(
        pair=PAIR,
        symbol="BTCUSDT",
        status=InstrumentStatus.TRADING,
        tick="0.01",
        lot="0.00000001",
        min_amount="0.0005",
        min_notional=None,
        contract_size=Decimal(1),
    )
    assert spot(quote_ccy_precision=0).by_pair[PAIR].tick == "1"


def test_futures_say_their_tick_and_count_base_units() -> None:
    instrument = futures().by_symbol["BTCUSDT"]
    assert instrument.pair == Pair("coinex", "futures", "BTC/USDT")
    assert (instrument.tick, instrument.lot, instrument.contract_size) == ("0.5", "0.00000001", 1)


def test_a_linear_contract_settles_in_its_quote_whatever_that_is() -> None:
    found = futures(market="BTCUSDC", quote_ccy="USDC").by_symbol["BTCUSDC"]
    assert found.pair == Pair("coinex", "futures", "BTC/USDC")


@pytest.mark.parametrize("kind, word", [("inverse", "inverse"), ("", "(none)")])
def test_what_is_not_linear_is_refused_by_name(kind: str, word: str) -> None:
    refused = futures(market="BTCUSD", quote_ccy="USD", contract_type=kind)
    assert refused.by_symbol == {}
    assert refused.refused == {"BTCUSD": f"contract type {word}: not linear"}


@pytest.mark.parametrize(
    "changed, status",
    [
        ({"status": "bidding"}, InstrumentStatus.HALTED),
        ({"status": "counting_down"}, InstrumentStatus.HALTED),
        ({"is_api_trading_available": False}, InstrumentStatus.HALTED),
        ({"delisted_at": NOW_MS}, InstrumentStatus.DELISTED),
        ({"delisted_at": NOW_MS + 1}, InstrumentStatus.TRADING),
        ({"delisted_at": NOW_MS - 1, "status": "bidding"}, InstrumentStatus.DELISTED),
    ],
)
def test_the_status_follows_the_venues_words(changed: dict[str, object], status: InstrumentStatus) -> None:
    assert spot(**changed).by_pair[PAIR].status is status


def test_a_contract_that_is_not_available_is_halted() -> None:
    assert futures(is_market_available=False).by_symbol["BTCUSDT"].status is InstrumentStatus.HALTED


def test_older_metadata_lack_the_newer_fields() -> None:
    old = {
        key: value for key, value in SPOT.items() if key not in ("status", "is_api_trading_available", "delisted_at")
    }
    (instrument,) = parse("spot", [body([old])]).by_pair.values()
    assert instrument.status is InstrumentStatus.TRADING


def test_without_the_venues_time_any_end_counts_as_past() -> None:
    (instrument,) = parse("spot", [body([SPOT | {"delisted_at": NOW_MS}])]).by_pair.values()
    assert instrument.status is InstrumentStatus.DELISTED


@pytest.mark.parametrize(
    "changed",
    [
        {"min_amount": "-1"}, {"min_amount": ""}, {"base_ccy_precision": 99}, {"base_ccy_precision": -1},
        {"quote_ccy_precision": "2"}, {"base_ccy": "B:C"}, {"quote_ccy": None}, {"delisted_at": "soon"},
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_refused_alone(changed: dict[str, object]) -> None:
    instruments = parse("spot", [PING, TIME, OPEN, body([SPOT | {"market": "ODD"} | changed, SPOT])])
    assert list(instruments.by_symbol) == ["BTCUSDT"]
    assert "cannot be read" in instruments.refused["ODD"]


def test_a_future_without_a_tick_is_refused() -> None:
    assert "cannot be read" in futures(tick_size="").refused["BTCUSDT"]


# ── whether the venue is open ────────────────────────────────────────────────────────────────────────────────────────


def maintained(scope: list[str], since_ms: int = 0, until_ms: int = 600_000) -> bytes:
    window = {"started_at": NOW_MS - since_ms, "ended_at": NOW_MS + until_ms, "scope": scope}
    extra = {"protect_duration_start": 0, "protect_duration_end": 0, "announce_enabled": False, "announce_url": ""}
    return body([window | extra])


@pytest.mark.parametrize("market, row", [("spot", SPOT), ("futures", FUTURES)])
def test_a_maintenance_of_the_market_makes_loading_fail_and_says_how_long(market: str, row: dict[str, Any]) -> None:
    own, other = ("SPOT", "PERPETUAL") if market == "spot" else ("PERPETUAL", "SPOT")
    for scope in ([own], ["ALL_SITE"], [other, own]):
        with pytest.raises(Undecodable, match=f"coinex {market}: the venue is in maintenance for 10 more minutes"):
            parse(market, [PING, TIME, maintained(scope), body([row])])
    assert parse(market, [PING, TIME, maintained([other]), body([row])]).by_symbol


@pytest.mark.parametrize("since_ms, until_ms", [(-1, 600_000), (600_000, 0), (600_000, -1)])
def test_a_maintenance_ahead_or_over_is_none(since_ms: int, until_ms: int) -> None:
    assert parse("spot", [PING, TIME, maintained(["SPOT"], since_ms, until_ms), body([SPOT])]).by_symbol


@pytest.mark.parametrize("which", range(4))
def test_an_error_in_any_answer_makes_loading_fail_with_its_code(which: int) -> None:
    bodies = [PING, TIME, OPEN, body([SPOT])]
    bodies[which] = body({}, 3008, "Service busy, please try again later.")
    with pytest.raises(Undecodable, match="code 3008: Service busy"):
        parse("spot", bodies)


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize(
    "bad",
    [b"", b"\xff", b"null", b"[]", b"<html>", body(7), body({"timestamp": -1}), body([{"market": 5}]), b"[" * 99_999],
)
def test_what_is_no_answer_is_undecodable(which: int, bad: bytes) -> None:
    bodies = [PING, TIME, OPEN, body([SPOT])]
    bodies[which] = bad
    with pytest.raises(Undecodable) as raised:
        parse("spot", bodies)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("market, tick", [("spot", "0.01"), ("futures", "0.5")])
def test_the_samples_of_the_documentation_are_read(recorded: Path, market: str, tick: str) -> None:
    folder = recorded / "coinex" / market
    names = (folder / "docs_jkorf_rest.names").read_text().splitlines()
    lines = (folder / "docs_jkorf_rest.jsonl").read_bytes().splitlines()
    (sample,) = [line for name, line in zip(names, lines, strict=True) if f"GET /v2/{market}/market " in name]
    (instrument,) = parse(market, [sample]).by_pair.values()
    assert (instrument.pair, instrument.tick) == (Pair("coinex", market, "BTC/USDT"), tick)
