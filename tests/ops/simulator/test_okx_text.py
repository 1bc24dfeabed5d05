"""Payloads of OKX."""

import json

from ops.simulator.feed import Feed
from ops.simulator.market import SimulatedInstrument, Trade
from ops.simulator.okx import text as okx_text
from ops.simulator.registry import listings
from ops.simulator.window import Delta


def feed() -> Feed:
    listing = listings("okx", "spot", 1)[0]
    return Feed(listing, SimulatedInstrument(listing, seed="7", rate=5), phase=0)


def test_an_update_reads_as_in_the_sheet() -> None:
    delta = Delta(91_200_452, 91_200_466, 91_200_451, {842_101: 77_000_000}, {842_102: 0, 842_104: 15_000_000})
    message = json.loads(okx_text.update(feed(), delta, 1_795_348_800_200))
    assert message["arg"] == {"channel": "books", "instId": "BTC-USDT"}
    assert message["action"] == "update"
    (row,) = message["data"]
    assert row["asks"] == [["84210.2", "0", "0", "0"], ["84210.4", "0.15", "0", "7"]]
    assert [level[:3] for level in row["bids"]] == [["84210.1", "0.77", "0"]]
    assert (row["ts"], row["checksum"]) == ("1795348800200", 0)
    assert (row["prevSeqId"], row["seqId"]) == (91_200_451, 91_200_466)


def test_a_trade_names_its_last_fill() -> None:
    trade = Trade(842_102, (1_000_000, 200_000), True, 11, 12, 91_200_468)
    (row,) = json.loads(okx_text.trade(feed(), trade, 1_795_348_800_123))["data"]
    assert row == {
        "instId": "BTC-USDT", "tradeId": "12", "px": "84210.2", "sz": "0.012", "side": "buy", "ts": "1795348800123",
        "count": "2", "source": "0", "seqId": 91_200_468,
    }  # fmt: skip
