"""Symbols and contracts of HTX."""

import json
from decimal import Decimal
from typing import Any

import pytest

from feeds.venue import Instrument, Instruments, InstrumentStatus, Undecodable
from feeds.venues.htx import MARKETS
from fleet.pair import Pair

SPOT, FUTURES = MARKETS
SYMBOL = {
    "base-currency": "btc", "quote-currency": "usdt", "price-precision": 2, "amount-precision": 6, "symbol": "btcusdt",
    "state": "online", "value-precision": 8, "min-order-value": 5, "limit-order-min-order-amt": 0.0001,
    "api-trading": "enabled",
}  # fmt: skip
CONTRACT = {
    "symbol": "BTC", "contract_code": "BTC-USDT", "contract_size": 0.001, "price_tick": 0.1, "contract_status": 1,
    "support_margin_mode": "all", "business_type": "swap", "pair": "BTC-USDT", "delivery_time": "",
}  # fmt: skip


def symbols(*changes: dict[str, Any]) -> Instruments:
    rows = [{name: value for name, value in (SYMBOL | change).items() if value is not ...} for change in changes]
    return SPOT.parse_instruments([json.dumps({"status": "ok", "data": rows}).encode()])


def contracts(*changes: dict[str, Any]) -> Instruments:
    rows = [{name: value for name, value in (CONTRACT | change).items() if value is not ...} for change in changes]
    return FUTURES.parse_instruments([json.dumps({"status": "ok", "data": rows, "ts": 1}).encode()])


def only(known: Instruments) -> Instrument:
    (one,) = known.by_pair.values()
    return one


def test_a_symbol() -> None:
    assert only(symbols({})) == Instrument(
        pair=Pair("htx", "spot", "BTC/USDT"), symbol="btcusdt", status=InstrumentStatus.TRADING, tick="0.01",
        lot="0.000001", min_amount="0.0001", min_notional="5", contract_size=Decimal(1),
    )  # fmt: skip
    assert symbols({}).find("btcusdt") is not None


@pytest.mark.parametrize(
    "state,api,status",
    [("online", "enabled", "TRADING"), ("online", "disabled", "HALTED"), ("suspend", "enabled", "HALTED"),
     ("pre-online", "enabled", "HALTED"), ("offline", "enabled", "DELISTED"), ("new word", "enabled", "HALTED")],
)  # fmt: skip
def test_states_of_symbols(state: str, api: str, status: str) -> None:
    assert only(symbols({"state": state, "api-trading": api})).status is InstrumentStatus[status]


def test_numbers_of_metadata_may_have_exponents() -> None:
    body = json.dumps({"status": "ok", "data": [SYMBOL]}).replace("0.0001", "1.0E-4").replace(": 5,", ": 5E0,")
    one = only(SPOT.parse_instruments([body.encode()]))
    assert (one.min_amount, one.min_notional) == ("0.0001", "5")


def test_a_symbol_without_smallest_order_has_one_lot() -> None:
    one = only(symbols({"limit-order-min-order-amt": ..., "min-order-value": ...}))
    assert (one.min_amount, one.min_notional) == ("0.000001", None)
    assert only(symbols({"limit-order-min-order-amt": ..., "min-order-amt": 2})).min_amount == "2"


def test_codes_that_mean_another_coin_elsewhere_are_renamed() -> None:
    one = only(symbols({"base-currency": "gtc", "symbol": "gtcusdt"}))
    assert (one.pair.pair, one.symbol) == ("GAMECOM/USDT", "gtcusdt")


def test_a_contract() -> None:
    assert only(contracts({})) == Instrument(
        pair=Pair("htx", "futures", "BTC/USDT"), symbol="BTC-USDT", status=InstrumentStatus.TRADING, tick="0.1",
        lot="0.001", min_amount="0.001", min_notional=None, contract_size=Decimal("0.001"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "status,expected", [(1, "TRADING"), (0, "DELISTED"), *[(n, "HALTED") for n in (2, 3, 5, 8, 99)]]
)
def test_states_of_contracts(status: int, expected: str) -> None:
    assert only(contracts({"contract_status": status})).status is InstrumentStatus[expected]


def test_what_is_no_perpetual_in_usdt_is_refused_by_name() -> None:
    known = contracts(
        {},
        {"contract_code": "BTC-USDT-261225", "business_type": "futures"},
        {"contract_code": "BTC-USDT-211231", "business_type": ...},
        {"contract_code": "BTC-USD"},
        {"contract_code": "BTC-HUSD"},
        {"contract_code": "BTC"},
        {"contract_code": "ETH-USDT", "contract_size": 0},
        {"contract_code": "SOL-USDT", "price_tick": "x"},
    )
    assert list(known.by_symbol) == ["BTC-USDT"]
    assert known.refused["BTC-USDT-261225"] == "futures: a dated contract, not a perpetual swap"
    assert "dated" in known.refused["BTC-USDT-211231"]
    assert known.refused["BTC-USD"] == "settled in USD, not in USDT"
    assert known.refused["BTC-HUSD"] == "settled in HUSD, not in USDT"
    assert known.refused["BTC"] == "settled in (nothing), not in USDT"
    assert "cannot be read" in known.refused["ETH-USDT"]
    assert "cannot be read" in known.refused["SOL-USDT"]


@pytest.mark.parametrize(
    "change", [{"price-precision": -1}, {"price-precision": 99}, {"amount-precision": "x"}, {"base-currency": " "}]
)
def test_one_symbol_that_cannot_be_read_is_refused_alone(change: dict[str, Any]) -> None:
    known = symbols({"symbol": "odd"} | change, {})
    assert list(known.by_symbol) == ["btcusdt"]
    assert "cannot be read" in known.refused["odd"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"status":"ok","data":[1]}', b'{"status":"ok","data":{}}', b"[" * 100_000,
     b'{"status":"error","err-code":"system-busy","err-msg":"","data":null}', b'{"status":"ok","data":[{}]}'],
)  # fmt: skip
@pytest.mark.parametrize("venue", MARKETS, ids=["spot", "futures"])
def test_what_is_no_metadata_is_undecodable(venue, body: bytes) -> None:
    with pytest.raises(Undecodable):
        venue.parse_instruments([body])


def test_metadata_is_asked_once() -> None:
    assert [one.path for one in SPOT.instruments_requests()] == ["/v1/common/symbols"]
    assert [one.path for one in FUTURES.instruments_requests()] == [
        "/linear-swap-api/v1/swap_contract_info?business_type=all"
    ]
