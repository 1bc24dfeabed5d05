"""exchangeInfo: what is no exchangeInfo at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.venue import Undecodable
from feeds.venues.binance.futures import BinanceFutures
from feeds.venues.binance.spot import BinanceSpot

both = pytest.mark.parametrize("venue", [BinanceSpot(), BinanceFutures()])


@both
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"symbols":{}}', b'{"symbols":[1]}', b'{"symbols":[{}]}', b"[" * 99_999, b"\xff"]
)
def test_a_body_that_is_no_metadata_is_undecodable(venue: BinanceSpot | BinanceFutures, body: bytes) -> None:
    with pytest.raises(Undecodable, match="exchangeInfo"):
        venue.parse_instruments([body])


@both
@given(st.binary(max_size=80).map(lambda tail: b'{"symbols":[{"symbol":"A",' + tail))
def test_arbitrary_bodies_raise_nothing_but_undecodable(venue: BinanceSpot | BinanceFutures, body: bytes) -> None:
    try:
        venue.parse_instruments([body])
    except Undecodable:
        pass


def test_no_bodies_are_no_instruments() -> None:
    assert not BinanceSpot().parse_instruments([]).by_symbol
