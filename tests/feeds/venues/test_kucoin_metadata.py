"""KuCoin's REST: metadata and books, as both generations of its sockets use them."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from books.events import Snapshot, SnapshotReason
from feeds.venue import Instrument, InstrumentStatus, RestRequest, Undecodable, Venue
from feeds.venues import kucoin, kucoin_classic
from feeds.venues.kucoin_rest import book_request, number_text
from fleet.pair import Pair

SPOT_ROW = {
    "symbol": "BCHSV-USDT", "name": "BSV-USDT", "baseCurrency": "BSV", "quoteCurrency": "USDT", "baseMinSize": "0.0010",
    "baseIncrement": "0.0001", "priceIncrement": "0.01", "minFunds": "0.1", "enableTrading": True,
}  # fmt: skip
FUTURES_ROW = {
    "symbol": "XBTUSDTM", "type": "FFWCSX", "baseCurrency": "XBT", "quoteCurrency": "USDT", "settleCurrency": "USDT",
    "isInverse": False, "multiplier": 0.001, "lotSize": 1, "tickSize": 0.1, "status": "Open", "marketStage": "NORMAL",
}  # fmt: skip
VENUES = [*kucoin.MARKETS, *kucoin_classic.MARKETS]


def body(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"code": "200000", "data": list(rows)}).encode()


@pytest.mark.parametrize("venue", [venue for venue in VENUES if venue.market == "spot"], ids=repr)
def test_a_spot_symbol_is_named_by_its_currencies(venue: Venue) -> None:
    expected = Instrument(
        pair=Pair(venue.name, "spot", "BSV/USDT"),
        symbol="BCHSV-USDT",
        status=InstrumentStatus.TRADING,
        tick="0.01",
        lot="0.0001",
        min_amount="0.001",
        min_notional="0.1",
        contract_size=Decimal(1),
    )
    assert list(venue.parse_instruments([body(SPOT_ROW)]).by_pair.values()) == [expected]


@pytest.mark.parametrize("venue", [venue for venue in VENUES if venue.market == "futures"], ids=repr)
def test_a_contract_is_measured_in_base_units_and_bitcoin_is_btc(venue: Venue) -> None:
    expected = Instrument(
        pair=Pair(venue.name, "futures", "BTC/USDT"),
        symbol="XBTUSDTM",
        status=InstrumentStatus.TRADING,
        tick="0.1",
        lot="0.001",
        min_amount="0.001",
        min_notional=None,
        contract_size=Decimal("0.001"),
    )
    assert list(venue.parse_instruments([body(FUTURES_ROW)]).by_pair.values()) == [expected]


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"type": "FFICSX"}, "perpetual"),
        ({"isInverse": True, "multiplier": -1.0, "settleCurrency": "XBT", "quoteCurrency": "USD"}, "inverse"),
        ({"settleCurrency": "USDC", "quoteCurrency": "USDC"}, "not in USDT"),
        ({"marketStage": "PRE_MARKET"}, "pre-market"),
        ({"multiplier": 0}, "size 0"),
        ({"multiplier": -1}, "cannot be read"),
        ({"tickSize": None}, "cannot be read"),
        ({"baseCurrency": ""}, "cannot be read"),
    ],
)
def test_other_contracts_are_refused_by_name(changes: dict[str, Any], word: str) -> None:
    instruments = kucoin.MARKETS[1].parse_instruments([body({**FUTURES_ROW, **changes})])
    assert not instruments.by_pair
    assert word in instruments.refused["XBTUSDTM"]


@pytest.mark.parametrize(
    "word, status",
    [
        ("Open", InstrumentStatus.TRADING),
        ("Init", InstrumentStatus.HALTED),
        ("Paused", InstrumentStatus.HALTED),
        ("CancelOnly", InstrumentStatus.HALTED),
        ("a word to come", InstrumentStatus.HALTED),
        ("BeingSettled", InstrumentStatus.DELISTED),
        ("Settled", InstrumentStatus.DELISTED),
        ("Closed", InstrumentStatus.DELISTED),
    ],
)
def test_the_status_of_a_contract(word: str, status: InstrumentStatus) -> None:
    instruments = kucoin.MARKETS[1].parse_instruments([body({**FUTURES_ROW, "status": word})])
    assert instruments.by_symbol["XBTUSDTM"].status is status


def test_a_spot_symbol_that_does_not_trade_is_halted_and_may_have_no_least_worth() -> None:
    row = {**SPOT_ROW, "enableTrading": False, "minFunds": None}
    (instrument,) = kucoin.MARKETS[0].parse_instruments([body(row)]).by_pair.values()
    assert (instrument.status, instrument.min_notional) == (InstrumentStatus.HALTED, None)


def test_numbers_are_read_from_their_own_text() -> None:
    text = body(FUTURES_ROW).decode().replace('"multiplier": 0.001', '"multiplier": 1E-8')
    text = text.replace('"tickSize": 0.1', '"tickSize": 0.1000000000000000000000001')
    (instrument,) = kucoin.MARKETS[1].parse_instruments([text.encode()]).by_pair.values()
    assert (instrument.lot, instrument.tick) == ("0.00000001", "0.1000000000000000000000001")
    assert number_text(b"9.75E+4") == "9.75E+4"
    assert number_text(b'"1.50"') == "1.50"


def test_one_unreadable_row_is_refused_alone() -> None:
    instruments = kucoin.MARKETS[0].parse_instruments([body({"symbol": "X-Y", "priceIncrement": "1"}, SPOT_ROW)])
    assert list(instruments.by_symbol) == ["BCHSV-USDT"]
    assert list(instruments.refused) == ["X-Y"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b'{"code":"429000","msg":"too many"}',
        b'{"code":"429000","data":[]}',
        b'{"code":"200000","data":{}}',
        b'{"code":"200000","data":[1]}',
        b'{"code":"200000","data":[{"symbol":"BTC-USDT"}]}',  # no list of what the market trades
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("venue", VENUES, ids=repr)
def test_what_is_no_list_of_instruments_is_undecodable(venue: Venue, answer: bytes) -> None:
    with pytest.raises(Undecodable):
        venue.parse_instruments([answer])


def test_recorded_metadata(recorded: Path) -> None:
    spot = kucoin.MARKETS[0].parse_instruments([(recorded / "kucoin/spot/cf202104_rest_symbols.jsonl").read_bytes()])
    assert (len(spot.by_symbol), len(spot.by_pair), dict(spot.refused)) == (634, 634, {})
    assert spot.by_symbol["BCHSV-USDT"].pair.pair == "BSV/USDT"
    assert sum(one.status is InstrumentStatus.TRADING for one in spot.by_symbol.values()) == 633
    contracts = [
        line
        for line in (recorded / "kucoin/futures/cmp_samples.jsonl").read_bytes().splitlines()
        if b"rootSymbol" in line
    ]
    futures = kucoin.MARKETS[1].parse_instruments(contracts)
    assert futures.by_symbol["XBTUSDTM"].contract_size == Decimal("0.001")
    assert futures.by_symbol["XBTUSDTM"].tick == "1"
    assert "inverse" in futures.refused["XBTUSDM"]
    assert all(one.pair.pair.endswith("/USDT") for one in futures.by_symbol.values())


# --- books ------------------------------------------------------------------------------------------------------------------

BTC, XBT = (
    next(iter(venue.parse_instruments([body(row)]).by_pair.values()))
    for venue, row in zip(kucoin.MARKETS, (SPOT_ROW, FUTURES_ROW), strict=True)
)
SPOT_BOOK = (
    '{"code":"200000","data":{"time":1795348800701,"sequence":"36012200453","bids":[["84210.1","0.410"]],'
    '"asks":[["84210.3","1.05"]]}}'
)
FUTURES_BOOK = (
    '{"code":"200000","data":{"symbol":"XBTUSDTM","sequence":1645045405918,"asks":[[29641.0,30109],[29642.0,7922]],'
    '"bids":[[29640.0,13007],["29639.0",1e3]],"ts":1654326922830525196}}'
)


def test_a_spot_book_has_its_sequence_as_text_and_its_time_in_ms() -> None:
    assert kucoin_classic.MARKETS[0].parse_snapshot(SPOT_BOOK.encode(), BTC, 7) == Snapshot(
        pair=BTC.pair,
        received_us=7,
        venue_ms=1795348800701,
        bids={"84210.1": "0.41"},
        asks={"84210.3": "1.05"},
        reason=SnapshotReason.FIRST,
        sequence=36012200453,
    )


def test_a_futures_book_is_numbers_lots_and_ns() -> None:
    assert kucoin_classic.MARKETS[1].parse_snapshot(FUTURES_BOOK.encode(), XBT, 7) == Snapshot(
        pair=XBT.pair,
        received_us=7,
        venue_ms=1654326922830,
        bids={"29640": "13.007", "29639": "1"},
        asks={"29641": "30.109", "29642": "7.922"},
        reason=SnapshotReason.FIRST,
        sequence=1645045405918,
    )


@pytest.mark.parametrize(
    "damage",
    [
        ('"200000"', '"900001"'),
        ("36012200453", "-1"),
        ("36012200453", "9" * 30),
        ("84210.1", "none"),
        ('"time":1795348800701', '"time":-5'),
        ('"bids"', '"offers"'),
    ],
)
def test_what_is_no_book_is_undecodable(damage: tuple[str, str]) -> None:
    answers = [b"", b"{}", b'{"code":"900001","msg":"symbol not exists"}', FUTURES_BOOK.encode()]
    for answer in [*answers, SPOT_BOOK.replace(*damage).encode()]:
        with pytest.raises(Undecodable):
            kucoin.MARKETS[0].parse_snapshot(answer, BTC, 7)
    with pytest.raises(Undecodable):
        kucoin.MARKETS[1].parse_snapshot(SPOT_BOOK.encode(), XBT, 7)


def test_the_deepest_book_without_a_signature_is_asked() -> None:
    assert book_request("spot", BTC) == RestRequest("/api/v1/market/orderbook/level2_100?symbol=BCHSV-USDT", 4)
    assert book_request("futures", XBT) == RestRequest("/api/v1/level2/snapshot?symbol=XBTUSDTM", 3)
