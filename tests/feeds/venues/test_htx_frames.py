"""The frames of HTX: gzip, pings, answers, refusals, and whatever else may come out of a socket."""

import gzip
import json
import zlib

import pytest

from feeds.venue import Ack, Instruments, Message, Pong, Refusal, Reply, Undecodable, Unused
from feeds.venues.htx import MARKETS
from feeds.venues.htx.frames import MOST_BYTES

SPOT, FUTURES = MARKETS
BOTH = pytest.mark.parametrize("venue", MARKETS, ids=["spot", "futures"])
NOTHING = Instruments()


def decode(frame: str | bytes) -> list[Message]:
    return SPOT.decode(frame, 7, NOTHING)


@BOTH
def test_a_frame_is_the_same_packed_unpacked_or_as_text(venue) -> None:
    text = '{"id":"1","status":"ok","subbed":"market.btcusdt.mbp.150","ts":1583414229143}'
    said = venue.decode(text, 7, NOTHING)
    assert said == venue.decode(text.encode(), 7, NOTHING) == venue.decode(gzip.compress(text.encode()), 7, NOTHING)


def bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(bytes(MOST_BYTES + 1)) + packer.flush()


@pytest.mark.parametrize(
    "frame",
    [b"\x1f\x8b", b"\x1f\x8bxx", gzip.compress(b'{"ping":1}')[:-1], gzip.compress(b'{"ping":1}') + b"x", b"\x1f\x8b" * 99,
     gzip.compress(b'{"ping":1}')[:-8] + bytes(8), gzip.compress(b"\xff\xfe"), gzip.compress(gzip.compress(b"{}"))],
)  # fmt: skip
def test_broken_gzip_is_undecodable(frame: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(frame)


def test_a_gzip_bomb_is_undecodable_and_not_unpacked() -> None:
    packed = bomb()
    assert len(packed) < 20_000
    with pytest.raises(Undecodable, match="more than 16777216 bytes"):
        decode(packed)


@pytest.mark.parametrize(
    "frame",
    ["", "{", "1", "null", '"x"', "NaN", "\x00", '{"ch":1}', "[" * 100_000, '{"a":' * 100_000, b"\xff", b"\x80abc",
     '{"ch":"market.btcusdt.bbo","ts":1,"tick":' + "[" * 100_000, '{"id":{},"status":"ok"}', '{"what":1}', "{}", "[1",
     '{"ch":"market.btcusdt.kline.1min","ts":1,"tick":', '{"subbed":[1]}', '{"ping":null}', '{"ping":{}}', '{"ping":1.5}',
     '{"ping":[1]}', '{"ping":true}', '{"ping":"' + "9" * 200 + '"}'],
)  # fmt: skip
def test_what_is_no_frame_is_undecodable(frame: str | bytes) -> None:
    for venue in MARKETS:
        with pytest.raises(Undecodable):
            venue.decode(frame, 7, NOTHING)


@BOTH
@pytest.mark.parametrize("value", ["1618678073643", '"1492420473058"', "12345678901234567890123"])
def test_a_ping_is_answered_with_its_own_value_and_type(venue, value: str) -> None:
    assert venue.decode(f'{{"ping":{value}}}', 7, NOTHING) == [Reply(f'{{"pong":{value}}}')]


@BOTH
def test_a_pong_is_a_pong(venue) -> None:
    assert venue.decode('{"pong":1618678073643}', 7, NOTHING) == [Pong()]


def test_pings_of_the_private_sockets_are_not_ours_to_answer() -> None:
    assert decode('{"op":"ping","ts":"1492420473058"}') == [Unused("frame of a notice or private socket: op ping")]
    assert decode('{"action":"ping","data":{"ts":1575537778295}}') == [
        Unused("frame of the private socket: action ping")
    ]


@pytest.mark.parametrize("id_,known", [('"1"', "1"), ("1", "1"), ("null", None), ('""', None)])
def test_acknowledgements_name_their_topic(id_: str, known: str | None) -> None:
    sub = f'{{"id":{id_},"status":"ok","subbed":"market.btcusdt.mbp.150","ts":1583414229143}}'
    assert decode(sub) == [Ack(known, "market.btcusdt.mbp.150", True)]
    assert decode(sub.replace("subbed", "unsubbed")) == [Ack(known, "market.btcusdt.mbp.150", False)]


def test_acknowledgements_of_swaps_may_come_in_any_letter_case() -> None:
    frame = '{"id":"1","status":"ok","subbed":"market.btc-usdt.depth.size_20.high_freq","ts":1}'
    expected = [Ack("1", "market.BTC-USDT.depth.size_20.high_freq", True)]
    assert FUTURES.decode(frame, 7, NOTHING) == expected


def refusal(code: str, text: str, id_: str = '"5"') -> list[Message]:
    body = {"ts": 1586323747018, "status": "error", "err-code": code, "err-msg": text}
    return decode(json.dumps(body)[:-1] + f', "id":{id_}}}')


def test_a_bad_topic_is_refused_for_good() -> None:
    text = "invalid mbp.150.symbol linkusdt"
    assert refusal("bad-request", text) == [Refusal("5", None, "bad-request", text, fatal_topic=True)]


def test_refusals_of_2026_are_read() -> None:
    frame = '{"status":"error","ts":1790134833292,"id":"","err-code":"bad-request","err-msg":"not json, is not json string"}'
    (message,) = FUTURES.decode(frame, 7, NOTHING)
    assert isinstance(message, Refusal)
    assert message.request_id is None


@pytest.mark.parametrize("code,text", [("429", "429 too many request"), ("bad-request", "429 too many request")])
def test_a_request_that_came_too_soon_is_asked_again(code: str, text: str) -> None:
    (message,) = refusal(code, text)
    assert isinstance(message, Refusal)
    assert not message.fatal_topic


def test_the_topic_of_a_refused_answer_is_known_by_its_id() -> None:
    frame = (
        '{"id":"9","rep":"market.btcusdt.mbp.150","status":"error","err-code":"bad-request","err-msg":"invalid","ts":1}'
    )
    assert decode(frame) == [Refusal("9", None, "bad-request", "invalid", fatal_topic=True)]


@pytest.mark.parametrize(
    "frame,reason",
    [
        ('{"sub":"market.btcusdt.bbo","id":"1"}', "a request, not an answer"),
        ('{"status":"ok","data":[],"ts":1}', "answer of REST"),
        ('{"status":"error","err_code":1032,"err_msg":"x","ts":1}', "answer of REST"),
        ('{"status":"error","err-code":"invalid-parameter","err-msg":"x","data":null}', "answer of REST"),
        ('{"code":200,"message":"success","data":{"marketStatus":1}}', "answer of REST"),
        ("[]", "list: rows of an answer of REST"),
        ('{"action":"push","ch":"orders#btcusdt","data":{}}', "frame of the private socket: action push"),
        ('{"op":"notify","topic":"orders","ts":1,"data":{},"status":3}',
         "frame of a notice or private socket: op notify of orders"),
        ('{"op":"close","ts":1}', "frame of a notice or private socket: op close"),
        ('{"ch":"accounts.update#2","data":{}}', "channel accounts.update#2"),
        ('{"ch":"market.btcusdt.detail","ts":1,"tick":{}}', "channel detail"),
        ('{"ch":"market.' + "x" * 200 + '.bbo"}', "channel market.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    ],
)  # fmt: skip
def test_what_is_known_and_not_used_has_a_name(frame: str, reason: str) -> None:
    assert decode(frame) == [Unused(reason)]


def test_the_order_of_keys_does_not_matter() -> None:
    frame = '{"ts":1,"tick":{"seqNum":2,"prevSeqNum":1},"ch":"market.ethusdt.mbp.150"}'
    assert decode(frame) == [Unused("symbol ethusdt: not among the instruments")]
