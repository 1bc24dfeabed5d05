"""Shapes that both Binance markets share: checks that stand before any message is made."""

import pytest

from feeds.recorded_venue import RawInstruments
from feeds.venue import Undecodable, Unused
from feeds.venues import find
from feeds.venues.binance.frames import Origin
from feeds.venues.binance.payloads import check_symbol, refused, unknown_depth


def origin(symbol: str | None) -> Origin:
    return Origin("btcusdt@trade", symbol, 1, RawInstruments(find("binance", "spot")))


def test_stream_and_payload_must_name_the_same_symbol() -> None:
    check_symbol(origin("BTCUSDT"), "BTCUSDT")
    check_symbol(origin(None), "BTCUSDT")  # an all-market stream
    with pytest.raises(Undecodable, match="btcusdt@trade carries symbol ETHUSDT"):
        check_symbol(origin("BTCUSDT"), "ETHUSDT")


def test_a_refusal_names_the_margin_before_the_symbol() -> None:
    instruments = find("binance", "futures").parse_instruments([b'{"symbols":[]}'])
    assert refused("BTCUSD_PERP", 2, instruments) == Unused("st 2: not USDⓈ-margined")
    assert refused("BTCUSDT", 1, instruments) == Unused("symbol BTCUSDT: not among the instruments")
    assert refused("BTCUSDT", None, instruments) == Unused("symbol BTCUSDT: not among the instruments")


def test_an_unknown_depth_says_which_are_known() -> None:
    assert str(unknown_depth("7", ["20", "50"])) == "depth '7': expected one of 20, 50"
