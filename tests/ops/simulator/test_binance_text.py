"""Stream names and payloads of Binance."""

import json

import pytest

from ops.simulator.binance.text import FuturesText, SpotText, StreamName, is_well_formed, parse_stream
from ops.simulator.feed import Feed
from ops.simulator.market import SimulatedInstrument
from ops.simulator.registry import listings
from ops.simulator.window import Delta


def feed(market: str) -> Feed:
    listing = listings("binance", market, 1)[0]
    return Feed(listing, SimulatedInstrument(listing, seed="7", rate=5), phase=0)


@pytest.mark.parametrize(
    "name,market,meaning",
    [
        ("btcusdt@depth", "spot", StreamName("btcusdt", "depth", 1000, 0, "public")),
        ("btcusdt@depth", "futures", StreamName("btcusdt", "depth", 250, 0, "public")),
        ("btcusdt@depth20@100ms", "spot", StreamName("btcusdt", "partial", 100, 20, "public")),
        ("btcusdt@depth5@500ms", "futures", StreamName("btcusdt", "partial", 500, 5, "public")),
        ("btcusdt@aggTrade", "futures", StreamName("btcusdt", "aggTrade", 0, 0, "market")),
        ("btcusdt@depth@500ms", "spot", None),
        ("btcusdt@depth50", "spot", None),
        ("!bookTicker", "futures", None),
    ],
)
def test_stream_names_mean_what_the_sheet_says(name: str, market: str, meaning: StreamName | None) -> None:
    assert is_well_formed(name)
    assert parse_stream(name, market) == meaning


def test_a_name_without_a_stream_is_malformed() -> None:
    assert not any(is_well_formed(name) for name in ("btcusdt", "", "btc usdt@depth", "btcusdt@", "a@b@c@d"))


def test_a_diff_reads_as_in_the_sheet() -> None:
    delta = Delta(50, 90, 41, {6_500_010: 110_450, 6_499_000: 0}, {6_500_011: 90_010})
    spot = json.loads(SpotText().diff(feed("spot"), delta, 1_795_348_800_105))
    assert spot == {
        "e": "depthUpdate", "E": 1_795_348_800_105, "s": "BTCUSDT", "U": 42, "u": 90,
        "b": [["65000.10000000", "1.10450000"], ["64990.00000000", "0.00000000"]],
        "a": [["65000.11000000", "0.90010000"]],
    }  # fmt: skip
    delta = Delta(50, 90, 41, {650_011: 3100, 649_500: 0}, {})
    futures = json.loads(FuturesText().diff(feed("futures"), delta, 1_795_348_800_110))
    assert (futures["U"], futures["u"], futures["pu"], futures["st"], futures["ps"]) == (50, 90, 41, 1, "BTCUSDT")
    assert futures["b"] == [["65001.10", "3.100"], ["64950.00", "0"]]
