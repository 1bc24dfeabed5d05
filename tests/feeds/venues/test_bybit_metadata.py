"""Bybit instruments: which are taken, which are refused and why."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from feeds.venue import Instrument, InstrumentStatus, RestRequest, Undecodable
from feeds.venues.bybit.market_data import Bybit
from feeds.venues.bybit.metadata import parse
from fleet.pair import Pair

LINEAR = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "deliveryTime": "0",
    "priceFilter": {"minPrice": "0.10", "maxPrice": "199999.80", "tickSize": "0.10"},
    "lotSizeFilter": {"minOrderQty": "0.002", "qtyStep": "0.001", "minNotionalValue": "5"},
}
SPOT = {
    "symbol": "BTCUSDT",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "priceFilter": {"tickSize": "0.01"},
    "lotSizeFilter": {"basePrecision": "0.000001", "minOrderQty": "0.000048", "minOrderAmt": "1"},
}
PAIR = Pair("bybit", "futures", "BTC/USDT")


def body(*rows: dict[str, object], cursor: str | None = "", category: str | None = "linear") -> bytes:
    result = {"category": category, "list": rows, "nextPageCursor": cursor}
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1}).encode()


def test_a_linear_perpetual_is_in_base_units_already() -> None:
    assert parse("futures", [body(LINEAR)]).by_pair[PAIR] == Instrument(
        pair=PAIR,
        symbol="BTCUSDT",
        status=InstrumentStatus.TRADING,
        tick="0.1",
        lot="0.001",
        min_amount="0.002",
        min_notional="5",
        contract_size=Decimal(1),
    )


def test_spot_does_not_check_its_least_amount_any_more() -> None:
    found = parse("spot", [body(SPOT, category="spot")]).by_symbol["BTCUSDT"]
    assert found == Instrument(
        pair=Pair("bybit", "spot", "BTC/USDT"),
        symbol="BTCUSDT",
        status=InstrumentStatus.TRADING,
        tick="0.01",
        lot="0.000001",
        min_amount="0.000001",
        min_notional="1",
        contract_size=Decimal(1),
    )


def test_a_multiplier_stays_in_the_base() -> None:
    row = LINEAR | {"symbol": "1000PEPEUSDT", "baseCoin": "1000PEPE"}
    assert parse("futures", [body(row)]).by_symbol["1000PEPEUSDT"].pair.pair == "1000PEPE/USDT"


@pytest.mark.parametrize(
    "change, status",
    [
        ({"status": "PreLaunch"}, InstrumentStatus.HALTED),
        ({"status": "PreLaunch", "preListingInfo": {"curAuctionPhase": "CallAuction"}}, InstrumentStatus.HALTED),
        ({"status": "PreLaunch", "preListingInfo": {"curAuctionPhase": "ContinuousTrading"}}, InstrumentStatus.TRADING),
        ({"status": "Delivering"}, InstrumentStatus.HALTED),
        ({"status": "Closed"}, InstrumentStatus.DELISTED),
        ({"status": "a word of next year"}, InstrumentStatus.HALTED),
        ({"preListingInfo": None}, InstrumentStatus.TRADING),
    ],
)
def test_what_trades_is_known_by_its_status(change: dict[str, object], status: InstrumentStatus) -> None:
    assert parse("futures", [body(LINEAR | change)]).by_pair[PAIR].status is status


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"contractType": "LinearFutures"}, "LinearFutures: dated"),
        ({"contractType": "InversePerpetual"}, "not a linear perpetual"),
        ({"contractType": ""}, "(none): not a linear perpetual"),
        ({"settleCoin": "USDC", "quoteCoin": "USDC"}, "settled in USDC, not in USDT"),
        ({"quoteCoin": "EUR"}, "not in its quote EUR"),
        ({"optionsType": "Put"}, "option"),
        ({"priceFilter": {"tickSize": ""}}, "metadata that cannot be read"),
        ({"priceFilter": None}, "metadata that cannot be read"),
        ({"lotSizeFilter": {"qtyStep": "-1", "minOrderQty": "1"}}, "metadata that cannot be read"),
        ({"lotSizeFilter": {"qtyStep": "1"}}, "metadata that cannot be read"),
        ({"baseCoin": ""}, "metadata that cannot be read"),
        ({"status": None}, "metadata that cannot be read"),
    ],
)
def test_what_is_no_perpetual_in_usdt_is_refused_by_name_and_alone(change: dict[str, object], reason: str) -> None:
    other = LINEAR | {"symbol": "ETHUSDT", "baseCoin": "ETH"}
    instruments = parse("futures", [body(LINEAR | change, other)])
    assert reason in instruments.refused["BTCUSDT"]
    assert list(instruments.by_symbol) == ["ETHUSDT"]


def test_a_contract_is_not_spot() -> None:
    instruments = parse("spot", [body(LINEAR, category=None)])
    assert instruments.refused == {"BTCUSDT": "contract type LinearPerpetual: not spot"}


def many(count: int) -> list[dict[str, object]]:
    return [LINEAR | {"symbol": f"A{n}USDT", "baseCoin": f"A{n}"} for n in range(count)]


def more(venue: Bybit, text: bytes) -> RestRequest | None:
    return venue.more_instruments(venue.instruments_requests()[0], text)


@pytest.mark.parametrize("count", [500, 1000])
def test_a_full_page_names_the_next(count: int) -> None:
    page = body(*many(count), cursor="first%3D0%26last%3D500")
    request = more(Bybit("futures"), page)
    assert request is not None
    assert request.path == "/v5/market/instruments-info?category=linear&limit=1000&cursor=first%253D0%2526last%253D500"
    assert more(Bybit("futures"), body(*many(count))) is None
    assert len(parse("futures", [page, body(LINEAR)]).by_pair) == count + 1


@pytest.mark.parametrize("count", [0, 499, 501, 750])
def test_a_page_that_is_not_full_is_the_last_whatever_its_cursor_says(count: int) -> None:
    assert more(Bybit("futures"), body(*many(count), cursor="first%3D0%26last%3D9")) is None


@pytest.mark.parametrize("text", [b"<html>", b"[]", b'{"retCode":0,"result":{"list":5}}'])
def test_what_is_no_page_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(Undecodable):
        more(Bybit("futures"), text)


def fixtures(recorded: Path, file: str) -> dict[str, bytes]:
    folder = recorded / "bybit/mixed"
    names = (folder / f"{file}.names").read_text().splitlines()
    return dict(zip(names, (folder / f"{file}.jsonl").read_bytes().splitlines(), strict=True))


@pytest.mark.parametrize(
    "market, name, symbols",
    [
        ("spot", "spot", {"BTCUSDT", "ETHUSDT"}),
        ("spot", "spot_xstocks", {"AAPLUSDT"}),
        ("futures", "linear", {"BTCUSDT", "ETHUSDT"}),
        ("futures", "linear_symbol_type", {"TSLAUSDT"}),
        ("futures", "inverse", set()),
        ("futures", "option", set()),
    ],
)
def test_recorded_metadata_is_taken_or_refused_with_a_reason(
    recorded: Path, market: str, name: str, symbols: set[str]
) -> None:
    line = fixtures(recorded, "nautilus_rest_fixtures")[f"http_get_instruments_{name}.json"]
    instruments = parse(market, [line])
    assert set(instruments.by_symbol) == symbols
    assert len(instruments.by_symbol) + len(instruments.refused) == len(json.loads(line)["result"]["list"])
    assert all(instruments.refused.values())


def test_documented_metadata_is_read(recorded: Path) -> None:
    files = fixtures(recorded, "docs_jkorf_rest")
    docs = {name.rpartition("/")[2]: line for name, line in files.items() if "/market/instruments-info" in name}
    spot = parse("spot", [docs["GetSpotSymbols"]]).by_symbol["BTCUSDT"]
    assert (spot.tick, spot.lot, spot.min_notional) == ("0.01", "0.000001", "1")
    linear = parse("futures", [docs["GetLinearInverseSymbols"]]).by_symbol["BTCUSDT"]
    assert (linear.tick, linear.lot, linear.min_amount, linear.min_notional) == ("0.1", "0.001", "0.001", "5")
    launching = parse("futures", [docs["GetLinearInverseSymbolsPreListing"]]).by_symbol["PRE02ZROUSDT"]
    assert launching.status is InstrumentStatus.TRADING  # its auction is over
    with pytest.raises(Undecodable, match="expected category linear, got option"):
        parse("futures", [docs["GetOptionSymbols"]])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"access too frequent",
        b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"retExtInfo":{},"time":1}',
        b'{"retCode":0,"result":{}}',
        b'{"retCode":0,"result":{"list":[{}]}}',
        b'{"retCode":0,"result":{"category":"spot","list":[]}}',
        b"[" * 99_999,
        b'{"retCode":0,"result":{"list":[' + b"[" * 99_999,
    ],
)
def test_a_body_that_is_no_metadata_is_undecodable(text: bytes) -> None:
    with pytest.raises(Undecodable):
        parse("futures", [text])
