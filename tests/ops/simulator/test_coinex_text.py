"""Payloads of CoinEx, and the window that its listeners hold."""

import json
from decimal import Decimal

import pytest

from ops.simulator.catalogue import digits
from ops.simulator.coinex import text as coinex_text
from ops.simulator.coinex.listing import listed
from ops.simulator.coinex.streams import Depth
from ops.simulator.coinex.trades import REMEMBERED, Trades
from ops.simulator.feed import Feed
from ops.simulator.market import HalfStep, SimulatedInstrument, Trade
from ops.simulator.window import Delta


def feed(market: str = "spot") -> Feed:
    listing = listed(market, 1)[0]
    return Feed(listing, SimulatedInstrument(listing, seed="7", rate=5, levels=50), phase=0)


def test_a_delta_reads_as_in_the_sheet() -> None:
    data = coinex_text.depth(
        feed(),
        [(3073300, 0), (3073450, 50_000_000)],
        [],
        is_full=False,
        last="30740",
        wall_ms=1689152421892,
        check=4144158991,
    )
    assert json.loads(coinex_text.push("depth.update", data)) == {
        "method": "depth.update",
        "data": {
            "market": "BTCUSDT",
            "is_full": False,
            "depth": {
                "asks": [],
                "bids": [["30733", "0"], ["30734.5", "0.50000000"]],
                "last": "30740",
                "updated_at": 1689152421892,
                "checksum": 4144158991,
            },
        },
        "id": None,
    }


def test_an_empty_side_can_be_left_out() -> None:
    data = coinex_text.depth(feed(), [(1, 1)], [], is_full=False, last="1", wall_ms=1, check=0, omit_empty=True)
    assert "asks" not in json.loads(data)["depth"]


def test_the_checksum_is_that_of_the_sheet() -> None:
    whole = feed("futures")  # prices to one place here; the sheet's vector has two
    whole.price_text = lambda ticks: f"{Decimal(ticks) / 100:.2f}"
    whole.size_text = lambda lots: f"{Decimal(lots) / 10**8:.8f}"
    bids, asks = [(3073600, 4857373), (3073300, 84696320)], [(3074000, 31763545), (3076900, 145155000)]
    assert coinex_text.checksum(whole, bids, asks) == 3258844969
    assert coinex_text.checksum(whole, [], []) == 0


def test_each_maker_hit_is_a_deal() -> None:
    trades, one = Trades(), feed()
    half = HalfStep(trades=[Trade(3071840, (120_000, 5), False, 11, 12, 1)])
    assert [json.loads(deal) for deal in trades.take(one, half, 1689152421900)] == [
        {"deal_id": 11, "created_at": 1689152421900, "side": "sell", "price": "30718.4", "amount": "0.00120000"},
        {"deal_id": 12, "created_at": 1689152421900, "side": "sell", "price": "30718.4", "amount": "0.00000005"},
    ]
    assert [json.loads(deal)["deal_id"] for deal in trades.recent(one)] == [12, 11]
    assert trades.last_price(one) == "30718.4"


def test_only_so_many_trades_are_remembered() -> None:
    trades, one = Trades(), feed()
    for number in range(REMEMBERED + 5):
        trades.take(one, HalfStep(trades=[Trade(1, (1,), True, number, number, 1)]), 1)
    ids = [json.loads(deal)["deal_id"] for deal in trades.recent(one)]
    assert ids == list(range(REMEMBERED + 4, 4, -1))


def test_a_window_tells_what_changed_and_what_left_it() -> None:
    one = feed()
    stream = Depth("n", "depth", depth=5)
    stream.look(one)
    assert stream.changes(one) is None
    best, fifth = one.instrument.bids.best, one.instrument.bids.at_rank(4)
    one.instrument.bids.put(best + 1, 7)
    change = stream.changes(one)
    assert change is not None
    assert (change.bids, change.asks) == ({best + 1: 7, fifth: 0}, {})
    stream.tell(change)
    assert stream.changes(one) is None
    assert len(stream.best_bids()) == 5


def test_a_level_too_many_is_cut_off_as_a_listener_does() -> None:
    stream = Depth("n", "depth", depth=2)
    stream.tell(Delta(0, 0, 0, {10: 1, 9: 1, 8: 1}, {11: 1, 12: 1, 13: 1}))
    assert (stream.best_bids(), stream.best_asks()) == ([(10, 1), (9, 1)], [(11, 1), (12, 1)])


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_steps_can_be_said_in_the_venues_metadata(market: str) -> None:
    listings = listed(market, 26)
    assert len({one.id for one in listings}) == len(listings)
    for one in listings:
        assert one.lot == Decimal(1).scaleb(-digits(one.lot))
        if market == "spot":
            assert one.tick == Decimal(1).scaleb(-digits(one.tick))
