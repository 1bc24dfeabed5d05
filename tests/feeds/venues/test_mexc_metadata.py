"""MEXC: the catalogues of spot and of contracts."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from feeds.recording import read_recording
from feeds.venue import Instrument, Instruments, InstrumentStatus, Undecodable
from feeds.venues.mexc.contract import MexcContract
from feeds.venues.mexc.spot import MexcSpot
from fleet.pair import Pair

SPOT, CONTRACTS = MexcSpot(), MexcContract()


def symbol(**changed: Any) -> dict[str, Any]:
    row = {
        "symbol": "BTCUSDT",
        "status": "1",
        "baseAsset": "BTC",
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quoteAssetPrecision": 2,
        "isSpotTradingAllowed": True,
        "quoteAmountPrecision": "1",
        "baseSizePrecision": "0",
        "tradeSideType": 1,
    }
    return {**row, **changed}


def listed(*rows: dict[str, Any]) -> Instruments:
    return SPOT.parse_instruments([json.dumps({"timezone": "CST", "symbols": rows}).encode()])


CONTRACT = (
    '{"symbol":"BTC_USDT","baseCoin":"BTC","quoteCoin":"USDT","settleCoin":"USDT","contractSize":0.0001,"priceUnit":0.1,'
    '"volUnit":1,"minVol":1,"state":0,"apiAllowed":true,"futureType":1}'
)


def contracts(*rows: str) -> Instruments:
    return CONTRACTS.parse_instruments([f'{{"success":true,"code":0,"data":[{",".join(rows)}]}}'.encode()])


def test_steps_of_spot_are_powers_of_ten_and_the_least_notional_is_called_precision() -> None:
    assert listed(symbol()).by_symbol == {
        "BTCUSDT": Instrument(
            pair=Pair("mexc", "spot", "BTC/USDT"),
            symbol="BTCUSDT",
            status=InstrumentStatus.TRADING,
            tick="0.01",
            lot="0.00000001",
            min_amount="0.00000001",
            min_notional="1",
            contract_size=Decimal(1),
        )
    }


def test_a_least_amount_counts_and_a_least_notional_of_zero_is_none() -> None:
    (one,) = listed(symbol(baseSizePrecision="0.0010", quoteAmountPrecision="0.000")).by_pair.values()
    assert (one.min_amount, one.min_notional) == ("0.001", None)


@pytest.mark.parametrize(
    "changed, status",
    [
        ({"status": "ENABLED"}, InstrumentStatus.TRADING),
        ({"status": "2"}, InstrumentStatus.HALTED),
        ({"status": "3"}, InstrumentStatus.DELISTED),
        ({"status": "a new word"}, InstrumentStatus.HALTED),
        ({"isSpotTradingAllowed": False}, InstrumentStatus.HALTED),
        ({"tradeSideType": 4}, InstrumentStatus.HALTED),
        ({"tradeSideType": 2}, InstrumentStatus.TRADING),
    ],
)
def test_the_status_of_spot(changed: dict[str, Any], status: InstrumentStatus) -> None:
    (one,) = listed(symbol(**changed)).by_pair.values()
    assert one.status is status


def test_one_unreadable_symbol_is_refused_alone() -> None:
    found = listed(
        symbol(),
        symbol(symbol="A", baseAssetPrecision=-1),
        symbol(symbol="B", baseAsset="a pair with blanks"),
        symbol(symbol="C", baseSizePrecision="-5"),
        {"symbol": "D"},
    )
    assert set(found.by_symbol) == {"BTCUSDT"}
    assert set(found.refused) == {"A", "B", "C", "D"}
    assert all("cannot be read" in reason for reason in found.refused.values())


def test_sizes_of_contracts_become_base_units() -> None:
    assert contracts(CONTRACT).by_symbol == {
        "BTC_USDT": Instrument(
            pair=Pair("mexc", "futures", "BTC/USDT"),
            symbol="BTC_USDT",
            status=InstrumentStatus.TRADING,
            tick="0.1",
            lot="0.0001",
            min_amount="0.0001",
            min_notional=None,
            contract_size=Decimal("0.0001"),
        )
    }


@pytest.mark.parametrize(
    "size, lot, unit, tick",
    [
        ("1E+7", "10000000", "1E-10", "0.0000000001"),
        ("1e-5", "0.00001", "5", "5"),
        ("10", "10", "0.50", "0.5"),
    ],
)
def test_numbers_of_contracts_come_out_exact_in_any_spelling(size: str, lot: str, unit: str, tick: str) -> None:
    row = CONTRACT.replace('"contractSize":0.0001', f'"contractSize":{size}').replace(
        '"priceUnit":0.1', f'"priceUnit":{unit}'
    )
    (one,) = contracts(row).by_pair.values()
    assert (one.lot, one.tick) == (lot, tick)


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ('"quoteCoin":"USDT","settleCoin":"USDT"', '"quoteCoin":"USD","settleCoin":"BTC"', "settled in BTC, not in its quote"),
        ('"quoteCoin":"USDT","settleCoin":"USDT"', '"quoteCoin":"USDC","settleCoin":"USDC"', "settled in USDC"),
        ('"quoteCoin":"USDT","settleCoin":"USDT"', '"quoteCoin":"USD1","settleCoin":"USD1"', "settled in USD1"),
        ('"futureType":1', '"futureType":2', "futureType 2"),
        ('"contractSize":0.0001', '"contractSize":0', "contractSize 0"),
        ('"contractSize":0.0001', '"contractSize":true', "expected a number"),
        ('"contractSize":0.0001', '"contractSize":null', "expected a number"),
        ('"priceUnit":0.1', '"priceUnit":-0.1', "decimal number"),
        ('"baseCoin":"BTC"', '"baseCoin":5', "cannot be read"),
    ],
)  # fmt: skip
def test_what_we_do_not_take_is_refused_by_name(old: str, new: str, reason: str) -> None:
    assert old in CONTRACT
    found = contracts(CONTRACT.replace(old, new))
    assert not found.by_symbol
    assert reason in found.refused["BTC_USDT"]


@pytest.mark.parametrize("old, new", [('"state":0', '"state":3'), ('"apiAllowed":true', '"apiAllowed":false')])
def test_a_contract_that_we_cannot_trade_is_halted(old: str, new: str) -> None:
    (one,) = contracts(CONTRACT.replace(old, new)).by_pair.values()
    assert one.status is InstrumentStatus.HALTED


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"symbols":5}', b'{"code":429,"msg":"Too Many Requests"}', b"[" * 99_999, b'{"symbols":[5]}']
)
def test_what_is_no_catalogue_of_spot_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable, match="mexc spot"):
        SPOT.parse_instruments([body])


@pytest.mark.parametrize(
    "body",
    [b"", b'{"success":false,"code":510,"message":"m"}', b'{"success":true,"code":0}', b'{"success":true,"code":0,"data":[1]}'],
)  # fmt: skip
def test_what_is_no_catalogue_of_contracts_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable, match="mexc futures"):
        CONTRACTS.parse_instruments([body])


def test_documented_catalogues_are_read(recorded: Path) -> None:
    spot: dict[str, Instrument] = {}
    for each in read_recording(recorded / "mexc/spot/docs_jkorf_rest.jsonl"):
        if b'"symbols":[' in each.frame:
            spot |= SPOT.parse_instruments([each.frame]).by_symbol
    assert len(spot) == 6
    brock = spot["BROCKUSDT"]
    assert (brock.tick, brock.lot, brock.min_notional, brock.status) == ("0.00001", "0.01", "1", "trading")
    assert (spot["OGNUSDT"].status, spot["OGNUSDT"].min_amount) == ("halted", "0.01")
    (body,) = (
        each.frame
        for each in read_recording(recorded / "mexc/futures/docs_jkorf_rest.jsonl")
        if b'"data":[{"symbol":"BTC_USDT","displayName"' in each.frame
    )
    found = CONTRACTS.parse_instruments([body])
    assert {name: (one.lot, one.tick) for name, one in found.by_symbol.items()} == {
        "BTC_USDT": ("0.0001", "0.5"),
        "ETH_USDT": ("0.001", "0.05"),
    }
