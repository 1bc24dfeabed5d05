"""Hyperliquid's metadata: names of three kinds, steps that no field says, and what is refused by name."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from feeds.recording import read_recording
from feeds.venue import Instrument, Instruments, InstrumentStatus, Undecodable
from feeds.venues.hyperliquid import metadata
from fleet.pair import Pair

TOKENS = [
    {"name": "USDC", "szDecimals": 8, "index": 0},
    {"name": "PURR", "szDecimals": 0, "index": 1},
    {"name": "HYPE", "szDecimals": 2, "index": 150},
    {"name": "UBTC", "szDecimals": 5, "index": 197},
    {"name": "UFART", "szDecimals": 1, "index": 200},
    {"name": "USDT0", "szDecimals": 2, "index": 268},
    {"name": "USDH", "szDecimals": 2, "index": 360},
    {"name": "BTC", "szDecimals": 2, "index": 400},
]


def spot_meta(*pairs: tuple[Any, ...], tokens: list[dict[str, Any]] = TOKENS) -> bytes:
    """(name, index, base token, quote token, canonical)."""
    names = ("name", "index", "tokens", "isCanonical")
    universe = [
        dict(zip(names, (name, index, [base, quote], canonical), strict=True))
        for name, index, base, quote, canonical in pairs
    ]
    return msgspec.json.encode({"universe": universe, "tokens": tokens})


def perp_meta(*rows: dict[str, Any], collateral: int = 0) -> dict[str, Any]:
    return {"universe": list(rows), "marginTables": [], "collateralToken": collateral}


def perps(*metas: dict[str, Any] | None) -> Instruments:
    return metadata.parse("futures", [msgspec.json.encode(metas), spot_meta()])


def known(instruments: Instruments, name: str) -> Instrument:
    market = next(iter(instruments.by_pair)).market
    return instruments.by_pair[Pair("hyperliquid", market, name)]


def test_spot_is_known_by_the_index_of_its_pair_and_not_by_its_place() -> None:
    found = metadata.parse("spot", [spot_meta(("PURR/USDC", 0, 1, 0, True), ("@107", 107, 150, 0, False))])
    assert set(found.by_symbol) == {"PURR/USDC", "@107"}
    hype = known(found, "HYPE/USDC")
    assert (hype.symbol, hype.lot, hype.tick, hype.min_amount, hype.min_notional) == (
        "@107",
        "0.01",
        "0.000001",
        "0.01",
        "10",
    )
    assert (known(found, "PURR/USDC").lot, known(found, "PURR/USDC").tick) == ("1", "0.00000001")


def test_bridged_tokens_have_their_economic_names_on_both_sides() -> None:
    found = metadata.parse(
        "spot",
        [spot_meta(("@142", 142, 197, 0, False), ("@166", 166, 268, 0, False), ("@170", 170, 200, 268, False))],
    )
    assert {symbol: each.pair.pair for symbol, each in found.by_symbol.items()} == {
        "@142": "BTC/USDC",
        "@166": "USDT/USDC",
        "@170": "FARTCOIN/USDT",
    }


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_tokens_with_one_name_the_bridged_one_is_taken_wherever_it_stands(turned: bool) -> None:
    rows = [("@142", 142, 197, 0, False), ("@9", 9, 400, 0, False)]
    found = metadata.parse("spot", [spot_meta(*(reversed(rows) if turned else rows))])
    assert known(found, "BTC/USDC").symbol == "@142"
    assert found.refused == {"@9": "BTC/USDC is the name of @142 too"}


def test_steps_of_perpetuals_follow_from_the_decimals_of_sizes() -> None:
    found = perps(
        perp_meta(
            {"name": "BTC", "szDecimals": 5},
            {"name": "kPEPE", "szDecimals": 0},
            {"name": "ODD", "szDecimals": 8},
        )
    )
    bitcoin = known(found, "BTC/USDC")
    assert (bitcoin.tick, bitcoin.lot, bitcoin.status) == ("0.1", "0.00001", InstrumentStatus.TRADING)
    assert (bitcoin.min_amount, bitcoin.min_notional, bitcoin.contract_size) == ("0.00001", "10", 1)
    pepe = known(found, "KPEPE/USDC")
    assert (pepe.symbol, pepe.tick, pepe.lot, pepe.contract_size) == ("kPEPE", "0.000001", "1", 1)
    assert known(found, "ODD/USDC").tick == "1"  # integers are always legal


@pytest.mark.parametrize(
    "said, status",
    [
        ({"isDelisted": True}, InstrumentStatus.DELISTED),
        ({"isDelisted": False}, InstrumentStatus.TRADING),
        ({"isDelisted": None}, InstrumentStatus.TRADING),
        ({}, InstrumentStatus.TRADING),
    ],
)
def test_a_delisted_coin_is_said_to_be(said: dict[str, Any], status: InstrumentStatus) -> None:
    assert known(perps(perp_meta({"name": "LOOM", "szDecimals": 1, **said})), "LOOM/USDC").status is status


def test_coins_of_builder_dexes_are_quoted_in_their_collateral() -> None:
    found = perps(
        perp_meta({"name": "BTC", "szDecimals": 5}),
        None,
        perp_meta({"name": "xyz:TSLA", "szDecimals": 3}),
        perp_meta({"name": "km:US500", "szDecimals": 3}, collateral=360),
        perp_meta({"name": "hyna:BTC", "szDecimals": 5}, collateral=235),
    )
    assert {symbol: each.pair.pair for symbol, each in found.by_symbol.items()} == {
        "BTC": "BTC/USDC",
        "xyz:TSLA": "XYZ-TSLA/USDC",
        "km:US500": "KM-US500/USDH",
    }
    assert found.refused == {"hyna:BTC": "settled in token 235, which has no name"}


def test_one_dex_alone_is_metadata_too() -> None:
    found = metadata.parse("futures", [msgspec.json.encode(perp_meta({"name": "BTC", "szDecimals": 5}))])
    assert set(found.by_symbol) == {"BTC"}


def test_a_row_that_cannot_be_read_is_refused_alone() -> None:
    found = perps(
        perp_meta(
            {"name": "BTC", "szDecimals": "five"},
            {"name": "A B", "szDecimals": 1},
            {"name": "X", "szDecimals": -1},
            {"name": "ETH", "szDecimals": 4},
        )
    )
    assert set(found.by_symbol) == {"ETH"}
    assert set(found.refused) == {"BTC", "A B", "X"}
    assert all("cannot be read" in reason for reason in found.refused.values())


def test_a_spot_pair_of_tokens_that_cannot_be_read_is_refused_alone() -> None:
    broken = [*TOKENS, {"name": "BAD", "szDecimals": None, "index": 500}]
    body = spot_meta(
        ("@1", 1, 500, 0, False), ("@2", 2, 150, 0, False), ("@3", 3, 77, 0, False), ("@4", 4, "x", 0, False),
        tokens=broken,
    )  # fmt: skip
    found = metadata.parse("spot", [body])
    assert set(found.by_symbol) == {"@2"}
    assert set(found.refused) == {"@1", "@3", "@4"}


@pytest.mark.parametrize("market", ["spot", "futures"])
@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"7", b"{}", b'{"universe":[{}]}', b'[{"universe":[]},[{}]]', b"\xff", b"[" * 99_999],
)
def test_what_is_no_metadata_is_undecodable(market: str, body: bytes) -> None:
    with pytest.raises(Undecodable, match=f"hyperliquid {market}"):
        metadata.parse(market, [body])


def test_metadata_of_the_other_market_alone_is_none() -> None:
    with pytest.raises(Undecodable, match="nothing here lists"):
        metadata.parse("futures", [spot_meta()])
    with pytest.raises(Undecodable, match="nothing here lists"):
        metadata.parse("spot", [msgspec.json.encode([perp_meta()])])


def test_recorded_metadata_is_read(recorded: Path) -> None:
    folder = recorded / "hyperliquid"
    lines = {
        name: [each.frame for each in read_recording(folder / f"{name}.jsonl")]
        for name in ("futures/docs_jkorf_rest", "futures/nautilus_rest_fixtures", "spot/docs_jkorf_rest")
    }
    docs = metadata.parse("futures", [lines["futures/docs_jkorf_rest"][2]])
    assert {symbol: str(each.status) for symbol, each in docs.by_symbol.items()} == {
        "BTC": "trading",
        "ETH": "trading",
        "HPOS": "trading",
        "LOOM": "delisted",
    }
    nautilus = lines["futures/nautilus_rest_fixtures"]
    every_dex = metadata.parse("futures", [nautilus[0], nautilus[8]])
    assert {each.pair.pair for each in every_dex.by_pair.values()} == {"BTC/USDC", "KM-US500/USDH", "HYNA-BTC/USDE"}
    spot = metadata.parse("spot", [lines["spot/docs_jkorf_rest"][7]])
    assert set(spot.by_symbol) == {"PURR/USDC"}
