"""MEXC spot: the protobuf schema against real frames, the venue sheet's own bytes, and ccxt's generated code."""

import base64
import importlib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from feeds.recording import read_recording
from feeds.venues.mexc.schema import BODY, Wrapper

SHEET = {  # venue sheet, sections 5.1, 5.2, 6 and 8.1: base64 → what it says
    "publicAggreDepths": (
        (
            "Ci9zcG90QHB1YmxpYy5hZ2dyZS5kZXB0aC52My5hcGkucGJAMTAwbXNAQlRDVVNEVBoHQlRDVVNEVDD748uZoDTKE4sBChYKCDg0MjEwLjU1EgowLjQxMjgw"
            "MDAwChYKCDg0MjEyLjAxEgowLjAwMDAwMDAwEhYKCDg0MjEwLjU0EgoxLjg2ODM3MjcxGidzcG90QHB1YmxpYy5hZ2dyZS5kZXB0aC52My5hcGkucGJAMTAw"
            "bXMiCzYxMjM0NTAwMTAxKgs2MTIzNDUwMDExOQ=="
        ),
        {
            "asks": [
                {"price": "84210.55", "quantity": "0.41280000"},
                {"price": "84212.01", "quantity": "0.00000000"},
            ],
            "bids": [{"price": "84210.54", "quantity": "1.86837271"}],
            "eventType": "spot@public.aggre.depth.v3.api.pb@100ms",
            "fromVersion": "61234500101",
            "toVersion": "61234500119",
        },
    ),
    "publicLimitDepths": (
        (
            "CitzcG90QHB1YmxpYy5saW1pdC5kZXB0aC52My5hcGkucGJAQlRDVVNEVEA1GgdCVENVU0RUMILky5mgNPoSYAoWCgg4NDIxMC41NRIKMC40MTI4MDAwMBIW"
            "Cgg4NDIxMC41NBIKMS44NjgzNzI3MRohc3BvdEBwdWJsaWMubGltaXQuZGVwdGgudjMuYXBpLnBiIgs2MTIzNDUwMDExOQ=="
        ),
        {
            "asks": [{"price": "84210.55", "quantity": "0.41280000"}],
            "bids": [{"price": "84210.54", "quantity": "1.86837271"}],
            "eventType": "spot@public.limit.depth.v3.api.pb",
            "version": "61234500119",
        },
    ),
    "publicAggreBookTicker": (
        (
            "CjNzcG90QHB1YmxpYy5hZ2dyZS5ib29rVGlja2VyLnYzLmFwaS5wYkAxMG1zQEJUQ1VTRFQaB0JUQ1VTRFQw/ePLmaA02hNACgg4NDIxMC41NBIKMS44Njgz"
            "NzI3MRoIODQyMTAuNTUiCjAuNDEyODAwMDAqCzYxMjM0NTAwMTE5MPfjy5mgNA=="
        ),
        {
            "bidPrice": "84210.54",
            "bidQuantity": "1.86837271",
            "askPrice": "84210.55",
            "askQuantity": "0.41280000",
            "version": "61234500119",
            "lastOrderCreateTime": "1795350000119",
        },
    ),
    "publicAggreDeals": (
        (
            "Ci9zcG90QHB1YmxpYy5hZ2dyZS5kZWFscy52My5hcGkucGJAMTAwbXNAQlRDVVNEVBoHQlRDVVNEVDDl48uZoDTSE3IKRwoIODQyMTAuNTUSBzAuMDAxNDIY"
            "ASDi48uZoDQqKTczMDI5MjQyNTQzMTQzNzMxOFgwXzczMDI5MjQyNTQzMTQzNzMxOVgwEidzcG90QHB1YmxpYy5hZ2dyZS5kZWFscy52My5hcGkucGJAMTAw"
            "bXM="
        ),
        {
            "deals": [
                {
                    "price": "84210.55",
                    "quantity": "0.00142",
                    "tradeType": 1,
                    "time": "1795350000098",
                    "tradeId": "730292425431437318X0_730292425431437319X0",
                }
            ],
            "eventType": "spot@public.aggre.deals.v3.api.pb@100ms",
        },
    ),
    "privateOrders": (
        (
            "Ch1zcG90QHByaXZhdGUub3JkZXJzLnYzLmFwaS5wYhoHQlRDVVNEVDDS5MuZoDSCE3AKGkMwMl9fNzQwMjkyNDI1NDMxNDM3MzE4MDQzEgpmbGVldC0wMDAx"
            "GgU4NDAwMCIEMC4wMSoDODQwMgU4NDAwMDgBQAFIAVIDNTA0WgUwLjAwNmIFMC4wMDRqBTAuMDA0cgMzMzZ4A4ABsuPLmaA0"
        ),
        {
            "id": "C02__740292425431437318043",
            "clientId": "fleet-0001",
            "price": "84000",
            "quantity": "0.01",
            "amount": "840",
            "avgPrice": "84000",
            "orderType": 1,
            "tradeType": 1,
            "isMaker": True,
            "remainAmount": "504",
            "remainQuantity": "0.006",
            "lastDealQuantity": "0.004",
            "cumulativeQuantity": "0.004",
            "cumulativeAmount": "336",
            "status": 3,
            "createTime": "1795350000050",
        },
    ),
    "privateDeals": (
        (
            "ChxzcG90QHByaXZhdGUuZGVhbHMudjMuYXBpLnBiGgdCVENVU0RUMNPky5mgNJITZQoFODQwMDASBTAuMDA0GgMzMzYgASgBOhQ3NDAyOTI0MjU0MzE0Mzcz"
            "MThYMUIKZmxlZXQtMDAwMUoaQzAyX183NDAyOTI0MjU0MzE0MzczMTgwNDNSATBaBFVTRFRgzeTLmaA0"
        ),
        {
            "price": "84000",
            "quantity": "0.004",
            "amount": "336",
            "tradeType": 1,
            "isMaker": True,
            "tradeId": "740292425431437318X1",
            "clientOrderId": "fleet-0001",
            "orderId": "C02__740292425431437318043",
            "feeAmount": "0",
            "feeCurrency": "USDT",
            "time": "1795350000205",
        },
    ),
    "privateAccount": (
        (
            "Ch5zcG90QHByaXZhdGUuYWNjb3VudC52My5hcGkucGIosuPLmaA0MLnjy5mgNJoTVAoEVVNEVBIgMTI4ZjU4OTI3MWNiNDk1MWIwM2U3MWU2MzIzZWI3YmUa"
            "BDExNjAiBC04NDAqAzg0MDIDODQwOg1FTlRSVVNUX1BMQUNFQLLjy5mgNA=="
        ),
        {
            "vcoinName": "USDT",
            "coinId": "128f589271cb4951b03e71e6323eb7be",
            "balanceAmount": "1160",
            "balanceAmountChange": "-840",
            "frozenAmount": "840",
            "frozenAmountChange": "840",
            "type": "ENTRUST_PLACE",
            "time": "1795350000050",
        },
    ),
}
ADDED_IN_JUNE_2026 = {
    "publicAggreDepths.lastOrderCreateTime",
    "publicLimitDepths.lastOrderCreateTime",
    "publicAggreBookTicker.version",
    "publicAggreBookTicker.lastOrderCreateTime",
    "publicAggreDeals.deals.tradeId",
}


@pytest.mark.parametrize("file", ["captured_pb_20260925", "reencoded_pb_from_tardis"])
def test_every_recorded_frame_decodes_and_serialises_to_its_own_bytes(recorded: Path, file: str) -> None:
    frames = [each.frame for each in read_recording(recorded / f"mexc/spot/{file}.jsonl")]
    assert len(frames) == {"captured_pb_20260925": 4, "reencoded_pb_from_tardis": 13}[file]
    for frame in frames:
        push = Wrapper.FromString(frame)
        assert push.SerializeToString() == frame
        assert push.WhichOneof(BODY)
        assert push.channel.startswith("spot@public.")


def test_no_field_of_a_real_frame_is_unknown_to_the_schema(recorded: Path) -> None:
    for each in read_recording(recorded / "mexc/spot/captured_pb_20260925.jsonl"):
        push = Wrapper.FromString(each.frame)
        push.DiscardUnknownFields()
        assert push.SerializeToString() == each.frame


@pytest.mark.parametrize("body", SHEET)
def test_the_sheets_own_bytes_say_what_the_sheet_says(body: str) -> None:
    text, expected = SHEET[body]
    frame = base64.b64decode(text)
    push = Wrapper.FromString(frame)
    assert push.WhichOneof(BODY) == body
    assert json_format.MessageToDict(getattr(push, body)) == expected
    assert push.SerializeToString() == frame


def test_a_body_that_the_sheet_does_not_spell_out_keeps_its_bytes() -> None:
    frame = bytes.fromhex("0a01 78 ea12 03 0a0164".replace(" ", ""))  # publicDeals with one field inside
    push = Wrapper.FromString(frame)
    assert push.WhichOneof(BODY) == "publicDeals"
    assert push.SerializeToString() == frame


def test_presence_is_kept_apart_from_the_default() -> None:
    assert not Wrapper.FromString(b"\x0a\x01x").HasField("symbol")
    empty = Wrapper.FromString(b"\x0a\x01x\x1a\x00")
    assert empty.HasField("symbol")
    assert empty.SerializeToString() == b"\x0a\x01x\x1a\x00"


def shape(descriptor: Any, path: str = "") -> dict[str, tuple[int, int, bool]]:
    """Every field below a message: path → (number, type, presence on the wire)."""
    found = {}
    for field in descriptor.fields:
        name = f"{path}{field.name}"
        found[name] = (field.number, field.type, field.has_presence)
        if field.message_type is not None:
            found |= shape(field.message_type, f"{name}.")
    return found


def test_the_schema_equals_the_generated_code_of_ccxt_but_for_the_fields_of_june_2026() -> None:
    theirs = shape(
        importlib.import_module("ccxt.protobuf.mexc.PushDataV3ApiWrapper_pb2").PushDataV3ApiWrapper.DESCRIPTOR
    )
    ours = shape(Wrapper.DESCRIPTOR)
    assert ours.keys() - theirs.keys() == ADDED_IN_JUNE_2026
    assert {name: ours[name] for name in ours.keys() & theirs.keys()} == {
        name: theirs[name] for name in ours.keys() & theirs.keys()
    }
    bodies_without_fields = {name.partition(".")[0] for name in theirs.keys() - ours.keys()}
    assert bodies_without_fields == {
        "publicDeals", "publicIncreaseDepths", "publicBookTicker", "publicMiniTicker", "publicMiniTickers",
        "publicBookTickerBatch", "publicIncreaseDepthsBatch",
    }  # fmt: skip
