"""OKX instruments: which are taken, which are refused and why."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.venue import Instrument, InstrumentStatus, Undecodable
from feeds.venues.okx.metadata import parse
from fleet.pair import Pair

SWAP = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "instFamily": "BTC-USDT",
    "uly": "BTC-USDT",
    "baseCcy": "",
    "quoteCcy": "",
    "settleCcy": "USDT",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctMult": "1",
    "ctValCcy": "BTC",
    "tickSz": "0.1",
    "lotSz": "0.01",
    "minSz": "0.01",
    "state": "live",
    "ruleType": "normal",
}
PAIR = Pair("okx", "futures", "BTC/USDT")


def body(*rows: dict[str, object]) -> bytes:
    return json.dumps({"code": "0", "msg": "", "data": rows}).encode()


def test_a_linear_swap_has_amounts_in_base_units() -> None:
    assert parse("futures", [body(SWAP)]).by_pair[PAIR] == Instrument(
        pair=PAIR,
        symbol="BTC-USDT-SWAP",
        status=InstrumentStatus.TRADING,
        tick="0.1",
        lot="0.0001",
        min_amount="0.0001",
        min_notional=None,
        contract_size=Decimal("0.01"),
    )


def test_value_and_multiplier_make_the_contract_size() -> None:
    instruments = parse("futures", [body(SWAP | {"ctVal": "0.1", "ctMult": "10"})])
    assert instruments.by_pair[PAIR].contract_size == 1


def test_metadata_of_before_2023_names_the_family_otherwise() -> None:
    old = {key: value for key, value in SWAP.items() if key not in ("instFamily", "ruleType")}
    assert PAIR in parse("futures", [body(old)]).by_pair


@pytest.mark.parametrize("state", ["suspend", "preopen", "test", "rebase", "a word of next year"])
def test_whatever_is_not_live_is_halted(state: str) -> None:
    assert parse("futures", [body(SWAP | {"state": state})]).by_pair[PAIR].status is InstrumentStatus.HALTED


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"ctType": "inverse", "settleCcy": "BTC"}, "inverse: not linear"),
        ({"ctType": "a word of next year"}, "not linear"),
        ({"settleCcy": "USDC"}, "settled in USDC, not in its quote USDT"),
        ({"ctValCcy": "USDT"}, "contract value in USDT, not in its base BTC"),
        ({"instType": "FUTURES"}, "instType FUTURES: not SWAP"),
        ({"instType": "OPTION"}, "instType OPTION: not SWAP"),
        ({"instType": "FUTURES", "ruleType": "xperp"}, "X-Perp"),
        ({"instFamily": "", "uly": ""}, "names no base and quote"),
        ({"ctMult": ""}, "metadata that cannot be read"),
        ({"ctVal": "0"}, "metadata that cannot be read"),
        ({"ctVal": "-1"}, "metadata that cannot be read"),
        ({"tickSz": ""}, "metadata that cannot be read"),
        ({"lotSz": None}, "metadata that cannot be read"),
    ],
)
def test_what_is_no_linear_swap_is_refused_by_name_and_alone(change: dict[str, object], reason: str) -> None:
    other = SWAP | {"instId": "ETH-USDT-SWAP", "instFamily": "ETH-USDT", "ctValCcy": "ETH"}
    instruments = parse("futures", [body(SWAP | change, other)])
    assert reason in instruments.refused["BTC-USDT-SWAP"]
    assert list(instruments.by_symbol) == ["ETH-USDT-SWAP"]


def test_recorded_spot_metadata_of_2022_is_read(recorded: Path) -> None:
    instruments = parse("spot", [(recorded / "okx/spot/cf202205_rest_instruments_SPOT.jsonl").read_bytes()])
    assert len(instruments.by_symbol) == 513
    assert not instruments.refused
    assert instruments.by_symbol["BTC-USDT"] == Instrument(
        pair=Pair("okx", "spot", "BTC/USDT"),
        symbol="BTC-USDT",
        status=InstrumentStatus.TRADING,
        tick="0.1",
        lot="0.00000001",
        min_amount="0.00001",
        min_notional=None,
        contract_size=Decimal(1),
    )


def test_recorded_metadata_of_every_type_is_taken_or_refused_with_a_reason(recorded: Path) -> None:
    folder = recorded / "okx/mixed"
    names = (folder / "nautilus_rest_fixtures.names").read_text().splitlines()
    lines = (folder / "nautilus_rest_fixtures.jsonl").read_bytes().splitlines()
    bodies = {name: line for name, line in zip(names, lines, strict=True) if "get_instruments_" in name}
    assert len(bodies) == 5
    for name, line in bodies.items():
        for market in ("spot", "futures"):
            instruments = parse(market, [line])
            assert len(instruments.by_symbol) + len(instruments.refused) == len(json.loads(line)["data"])
            assert all(instruments.refused.values())
            taken = {("spot", "spot"), ("swap", "futures")}
            assert bool(instruments.by_symbol) is any((kind in name, market) == (True, of) for kind, of in taken)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"code":"50011","msg":"m","data":[]}', b'{"code":"0","data":[{}]}', b"[" * 99_999]
)
def test_a_body_that_is_no_metadata_is_undecodable(text: bytes) -> None:
    with pytest.raises(Undecodable):
        parse("spot", [text])


@given(st.binary(max_size=80).map(lambda tail: b'{"code":"0","data":[{"instId":"A",' + tail))
def test_arbitrary_bodies_raise_nothing_but_undecodable(text: bytes) -> None:
    try:
        parse("spot", [text])
    except Undecodable:
        pass
