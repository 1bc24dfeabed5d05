"""The simulator's own protobuf writer against the bytes that venues/mexc.md prints."""

import base64

import pytest

from ops.simulator.mexc.protobuf import integer, message, repeated, text, varint
from ops.simulator.mexc.spot_text import wrapper


@pytest.mark.parametrize(
    "value,expected",
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**63 - 1, "ffffffffffffffff7f")],
)
def test_a_varint_has_its_lowest_bits_first(value: int, expected: str) -> None:
    assert varint(value) == bytes.fromhex(expected)


def test_there_is_no_negative_varint() -> None:
    with pytest.raises(ValueError, match="-1"):
        varint(-1)


def test_defaults_are_not_written_but_empty_messages_are() -> None:
    assert (integer(6, 0), text(1, ""), message(313, b""), repeated(1, [])) == (b"", b"", b"\xca\x13\x00", b"")


def level(price: str, quantity: str) -> bytes:
    return text(1, price) + text(2, quantity)


def test_the_sheets_diff_comes_out_byte_for_byte() -> None:
    channel = "spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT"
    body = repeated(1, [level("84210.55", "0.41280000"), level("84212.01", "0.00000000")])
    body += repeated(2, [level("84210.54", "1.86837271")])
    body += text(3, "spot@public.aggre.depth.v3.api.pb@100ms") + text(4, "61234500101") + text(5, "61234500119")
    assert wrapper(channel, "BTCUSDT", 1795350000123, message(313, body)) == base64.b64decode(
        "Ci9zcG90QHB1YmxpYy5hZ2dyZS5kZXB0aC52My5hcGkucGJAMTAwbXNAQlRDVVNEVBoHQlRDVVNEVDD748uZoDTKE4sBChYKCDg0MjEwLjU1EgowLjQxMjgw"
        "MDAwChYKCDg0MjEyLjAxEgowLjAwMDAwMDAwEhYKCDg0MjEwLjU0EgoxLjg2ODM3MjcxGidzcG90QHB1YmxpYy5hZ2dyZS5kZXB0aC52My5hcGkucGJAMTAw"
        "bXMiCzYxMjM0NTAwMTAxKgs2MTIzNDUwMDExOQ=="
    )


def test_the_sheets_deal_comes_out_byte_for_byte() -> None:
    item = text(1, "84210.55") + text(2, "0.00142") + integer(3, 1) + integer(4, 1795350000098)
    item += text(5, "730292425431437318X0_730292425431437319X0")
    body = repeated(1, [item]) + text(2, "spot@public.aggre.deals.v3.api.pb@100ms")
    channel = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
    assert wrapper(channel, "BTCUSDT", 1795350000101, message(314, body)) == base64.b64decode(
        "Ci9zcG90QHB1YmxpYy5hZ2dyZS5kZWFscy52My5hcGkucGJAMTAwbXNAQlRDVVNEVBoHQlRDVVNEVDDl48uZoDTSE3IKRwoIODQyMTAuNTUSBzAuMDAxNDIY"
        "ASDi48uZoDQqKTczMDI5MjQyNTQzMTQzNzMxOFgwXzczMDI5MjQyNTQzMTQzNzMxOVgwEidzcG90QHB1YmxpYy5hZ2dyZS5kZWFscy52My5hcGkucGJAMTAw"
        "bXM="
    )
