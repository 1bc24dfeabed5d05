"""KuCoin's words and listings, without a socket."""

import json

import pytest

from ops.simulator.feed import Feed
from ops.simulator.kucoin import classic_text, pro_text
from ops.simulator.kucoin.listing import listed
from ops.simulator.market import SimulatedInstrument, Trade
from ops.simulator.window import Delta


def feed_of(market: str) -> Feed:
    listing = listed(market, 1)[0]
    return Feed(listing, SimulatedInstrument(listing, seed="words", rate=5.0, levels=50, jump=0), phase=0)


FUTURES, SPOT = feed_of("futures"), feed_of("spot")
DELTA = Delta(first=11, last=16, previous=10, bids={650_000: 3, 649_999: 0}, asks={650_002: 0, 650_003: 7})


def test_futures_say_one_level_a_frame_removals_first_and_use_up_every_sequence() -> None:
    frames = [json.loads(text)["data"] for text in classic_text.futures_changes(FUTURES, 11, DELTA, 1)]
    assert [frame["sequence"] for frame in frames] == [11, 12, 13, 14, 15, 16]
    assert [frame["change"] for frame in frames] == [
        "64999.9,buy,0",
        "65000.2,sell,0",
        "65000,buy,3",
        "65000.3,sell,7",
        "65000.3,sell,7",
        "65000.3,sell,7",
    ]


def test_a_spot_update_gives_every_level_the_last_sequence() -> None:
    data = json.loads(classic_text.spot_update(SPOT, 11, DELTA, 1))["data"]
    assert (data["sequenceStart"], data["sequenceEnd"]) == (11, 16)
    assert data["changes"]["bids"] == [["65000", "0.00000003", "16"], ["64999.9", "0", "16"]]


def test_a_pro_delta_names_its_first_and_last_sequence() -> None:
    push = json.loads(pro_text.delta(FUTURES, "increment@10ms", 11, DELTA, 1_795_348_800_690))
    assert (push["T"], push["dp"], push["t"]) == ("obu.FUTURES", "increment@10ms", "delta")
    assert (push["d"]["O"], push["d"]["C"]) == (11, 16)
    assert push["d"]["M"] == 1_795_348_800_690_000_000
    assert push["d"]["b"] == [["65000", "3"], ["64999.9", "0"]]


def test_every_fill_is_a_trade_of_its_own() -> None:
    trade = Trade(price=650_000, fills=(2, 5), taker_buys=False, first_id=70, last_id=71, sequence=12)
    pro = [json.loads(text)["d"] for text in pro_text.trades(FUTURES, trade, 1)]
    assert [(one["ti"], one["q"], one["S"]) for one in pro] == [("70", "2", "sell"), ("71", "5", "sell")]
    spot = [json.loads(text)["data"] for text in classic_text.matches(SPOT, trade, 1)]
    assert [(one["tradeId"], one["size"]) for one in spot] == [("70", "0.00000002"), ("71", "0.00000005")]
    futures = [json.loads(text)["data"] for text in classic_text.executions(FUTURES, trade, 1)]
    assert [(one["tradeId"], one["size"]) for one in futures] == [("70", 2), ("71", 5)]


@pytest.mark.parametrize("market, oddities", [("spot", 1), ("futures", 5)])
def test_listings_have_ids_of_their_own_and_trading_pairs_first(market: str, oddities: int) -> None:
    rows = listed(market, 30)
    assert len({row.id for row in rows}) == len(rows) == 30 + oddities
    assert [row.pair for row in rows[:2]] == ["BTC/USDT", "ETH/USDT"]
    assert all(row.trading and row.kind in ("spot", "linear") for row in rows[:30])
    assert rows[0].id == ("BTC-USDT" if market == "spot" else "XBTUSDTM")
