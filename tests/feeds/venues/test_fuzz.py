"""Every registered venue against hostile bytes: a list of sound messages or Undecodable, never anything else.

Nothing here knows a venue. What is fed: arbitrary bytes, text and JSON, bytes that look like protobuf, and the venue's own
recorded messages damaged in many ways, plain and compressed. FLEET_CHAOS_SCALE=20 tries twenty times as much.
"""

import base64
import gzip
import json
import os
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from books.decimals import canonical
from books.events import Bbo, Delta, Levels, Snapshot, Trade
from feeds.outputs import Sample
from feeds.recorded_venue import RawInstruments, raw_instrument
from feeds.sampling import SAMPLES_PER_MINUTE
from feeds.session import Session
from feeds.venue import (
    Ack,
    BookMessage,
    GoingAway,
    Image,
    Instrument,
    Instruments,
    InstrumentStatus,
    Message,
    Pong,
    Refusal,
    Reply,
    Undecodable,
    Unused,
    Venue,
    Welcome,
)
from feeds.venues import VENUES
from fleet.pair import CHANNELS, DEPTHS, Pair

SCALE = float(os.environ.get("FLEET_CHAOS_SCALE") or 1)
MIB: Final = 1024 * 1024
BOMB_BYTES: Final = 100 * MIB
PEAK_MOST: Final = 64 * MIB
TEXT_MOST: Final = 1000  # characters of a reason, a code, an error: they go into logs
SYMBOL_MOST: Final = 60
LEVEL_MOST: Final = 81  # characters of a price or an amount: 40 digits, a point, 40 digits
DEPTH: Final = 10_000  # of nesting

LINES_OF_A_FILE, LINE_MOST = 40, 20_000
A_BATCH = 25  # damaged messages of one example

ALL = frozenset(CHANNELS)
PLACES = [pytest.param(venue, id=f"{name}-{market}") for (name, market), venue in VENUES.items()]
every_venue = pytest.mark.parametrize("venue", PLACES)


def tries(count: int) -> settings:
    """So many examples, times FLEET_CHAOS_SCALE."""
    calm = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(max_examples=max(1, round(count * SCALE)), deadline=None, suppress_health_check=calm)


# ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────────


class AnySymbol(RawInstruments):
    """Every symbol is known that could be one."""

    def find(self, symbol: str) -> Instrument | None:
        return super().find(symbol) if len(symbol) <= SYMBOL_MOST else None


class SmallContracts(AnySymbol):
    """A contract is a thousandth of a coin."""

    def find(self, symbol: str) -> Instrument | None:
        found = super().find(symbol)
        return None if found is None else msgspec.structs.replace(found, contract_size=Decimal("0.001"))


def check_levels(*sides: Levels) -> None:
    for side in sides:
        for price, amount in side.items():
            assert len(price) <= LEVEL_MOST
            assert len(amount) <= LEVEL_MOST
            assert canonical(price) == price
            assert canonical(amount) == amount


def check_time(venue_ms: int | None) -> None:
    assert venue_ms is None or (type(venue_ms) is int and 0 <= venue_ms < 2**63)


def check_book(event: Delta | Snapshot) -> None:
    check_levels(event.bids, event.asks)
    check_time(event.venue_ms)
    numbers = [event.sequence]
    if isinstance(event, Delta):
        numbers += [event.first_sequence, event.previous_sequence]
    assert all(number is None or (type(number) is int and abs(number) < 2**64) for number in numbers)


def check_message(message: Message) -> None:
    if isinstance(message, BookMessage):
        assert message.topic
        check_book(message.event.snapshot if isinstance(message.event, Image) else message.event)
    elif isinstance(message, Bbo):
        check_time(message.venue_ms)
        for price, amount in ((message.bid, message.bid_amount), (message.ask, message.ask_amount)):
            assert bool(price) == bool(amount)
            check_levels({price: amount} if price else {})
    elif isinstance(message, Trade):
        check_time(message.venue_ms)
        check_levels({message.price: message.amount})
        assert message.side in ("buy", "sell")
        assert isinstance(message.trade_id, str)
    elif isinstance(message, Unused):
        assert 0 < len(message.reason) <= TEXT_MOST
    elif isinstance(message, Refusal):
        assert len(message.code) + len(message.text) <= TEXT_MOST
        assert message.request_id is None or len(message.request_id) <= TEXT_MOST
    elif isinstance(message, Ack):
        assert message.request_id is None or len(message.request_id) <= TEXT_MOST
    elif isinstance(message, Reply | GoingAway):
        assert len(message.text) <= TEXT_MOST
    else:
        assert isinstance(message, Pong | Welcome)


def check_error(error: Undecodable) -> None:
    assert 0 < len(str(error)) <= TEXT_MOST


def decoded(venue: Venue, frame: str | bytes, instruments: Instruments) -> bool:
    """Decode a frame and check what comes out. Whether it could be read."""
    try:
        messages = venue.decode(frame, 7, instruments)
    except Undecodable as error:
        check_error(error)
        return False
    assert isinstance(messages, list)
    for message in messages:
        check_message(message)
    return True


def check_frame(venue: Venue, frame: str | bytes) -> None:
    for instruments in (AnySymbol(venue), SmallContracts(venue), Instruments()):
        decoded(venue, frame, instruments)


def check_instruments(venue: Venue, bodies: list[bytes]) -> None:
    try:
        instruments = venue.parse_instruments(bodies)
    except Undecodable as error:
        check_error(error)
        return
    for pair, instrument in instruments.by_pair.items():
        assert (pair.venue, pair.market) == (venue.name, venue.market)
        assert isinstance(instrument.status, InstrumentStatus)
        steps = [instrument.tick, instrument.lot, instrument.min_amount]
        steps += [] if instrument.min_notional is None else [instrument.min_notional]
        assert all(canonical(step) == step for step in steps)
        assert instrument.contract_size.is_finite()
        assert instrument.contract_size > 0
    assert all(0 < len(reason) <= TEXT_MOST for reason in instruments.refused.values())


def check_snapshot(venue: Venue, body: bytes) -> None:
    try:
        snapshot = venue.parse_snapshot(body, raw_instrument(venue, "BTCUSDT"), 7)
    except Undecodable as error:
        check_error(error)
        return
    check_book(snapshot)


# ── what is recorded of a venue ──────────────────────────────────────────────────────────────────────────────────────


def _unwrapped(line: bytes) -> bytes:
    if line.startswith(b'{"b64":'):
        return base64.b64decode(json.loads(line)["b64"])
    return line


@cache
def corpus(recorded: Path, name: str) -> list[bytes]:
    """Messages of every file of a venue, some of each, none of them very long."""
    folders = [folder for folder in (recorded / name, recorded / name.partition("_")[0]) if folder.is_dir()]
    found: list[bytes] = []
    for path in sorted(folders[0].glob("*/*.jsonl")) if folders else []:
        lines = [line for line in path.read_bytes().splitlines() if line and len(line) <= LINE_MOST]
        found += lines[:: max(1, len(lines) // LINES_OF_A_FILE)]
    assert found, f"nothing is recorded of {name}"
    return [_unwrapped(line) for line in found]


@cache
def understood(recorded: Path, venue: Venue) -> list[tuple[bytes, list[Message]]]:
    """Recorded messages that the venue's decoder makes use of, and what of."""
    found = []
    for line in corpus(recorded, venue.name):
        try:
            messages = venue.decode(line, 7, AnySymbol(venue))
        except Undecodable:
            continue
        if not all(isinstance(message, Unused) for message in messages):
            found.append((line, messages))
    return found


@cache
def lines_of(recorded: Path, venue: Venue) -> list[bytes]:
    """What is recorded; half of it are messages that are made use of."""
    every = corpus(recorded, venue.name)
    used = [line for line, _ in understood(recorded, venue)]
    return every + used * (len(every) // len(used) if used else 0)


@cache
def symbols(recorded: Path, venue: Venue) -> list[str]:
    """Symbols that the venue's recorded market data name."""
    pairs: set[Pair] = set()
    for _, messages in understood(recorded, venue):
        for message in messages:
            if isinstance(message, BookMessage):
                event = message.event
                pairs.add(event.snapshot.pair if isinstance(event, Image) else event.pair)
            elif isinstance(message, Bbo | Trade):
                pairs.add(message.pair)
    return sorted({pair.pair for pair in pairs})


@cache
def words(recorded: Path, name: str) -> tuple[list[str], list[str]]:
    """Keys and short texts of a venue's messages."""
    keys: set[str] = set()
    texts: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            keys.update(value)
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value[:3]:
                walk(inner)
        elif isinstance(value, str) and len(value) <= 30:
            texts.add(value)

    for line in corpus(recorded, name):
        try:
            walk(json.loads(line))
        except ValueError:
            continue  # a binary message, or bare text
    return sorted(keys) or ["data"], sorted(texts) or ["x"]


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────

RAW = "\u2020raw:"  # text of the form RAW + key + RAW becomes the bare text of RAWS[key]
RAWS: Final = {
    "huge": "1" + "0" * 400, "long": "9" * 5000, "exp": "1e400", "tiny": "1e-400", "nan": "NaN", "inf": "-Infinity",
    "minus": "-0", "half": "0.5", "big": "18446744073709551616", "deep": "[" * DEPTH + "]" * DEPTH, "open": "[" * DEPTH,
    "deeper": '{"a":' * DEPTH, "bare": "\x00", "surrogate": '"\\ud800"', "twice": "1,1", "nothing": "",
}  # fmt: skip
ODD: Final[list[Any]] = [
    None, True, False, 0, -1, 1, 1.5, 2**63, 2**64, -(2**63), 10**30, "", "0", "-1", "1", "NaN", "Infinity", "-0", "+1",
    " 1", "1 ", "1_0", "0x10", "1e5", "1E-7", "1e99", "1e999999999", "9" * 41, "0." + "1" * 41, "9" * 40 + "." + "9" * 40,
    "9" * 5000, "\u0661\u0662", "x" * 3000, "\x00", "null", [], {}, [[]], [{}], [None], ["1"], ["1", "2"], ["1", "2", "3"],
    [["1", "2"]], [["-1", "1"]], [["1", "9" * 60]], [["1", "9" * 60], ["2", "1"], ["3", "1"]], [[1, 2]], {"a": 1},
    *(RAW + key + RAW for key in RAWS),
]  # fmt: skip


def spots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value that can be replaced: (container, key)."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(inner):
        yield value, key
        yield from spots(each)


def with_odd_values(rng: random.Random, line: bytes) -> bytes:
    try:
        value = json.loads(line)
    except ValueError:
        return with_odd_bytes(rng, line)
    places = list(spots(value))
    if rng.random() < 0.7:
        places = [(container, key) for container, key in places if not isinstance(container[key], dict | list)]
    for container, key in rng.sample(places, min(len(places), rng.choice((1, 1, 2, 5)))):
        act = rng.random()
        if act < 0.1 and isinstance(container, dict):
            container.pop(key, None)
        elif act < 0.2 and isinstance(container, list) and container:
            container.append(rng.choice(container))
        elif key in container if isinstance(container, dict) else key < len(container):
            kind = type(container[key])
            likely = [odd for odd in ODD if type(odd) is kind and RAW not in str(odd)] if rng.random() < 0.6 else ODD
            container[key] = rng.choice(likely or ODD)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for key, raw in RAWS.items():
        text = text.replace(f'"{RAW}{key}{RAW}"', raw)
    return text.encode("utf-8", errors="surrogatepass")


def with_odd_bytes(rng: random.Random, line: bytes) -> bytes:
    data = bytearray(line)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(data) + 1)
        act = rng.randrange(5)
        if act == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif act == 1:
            data[at:at] = rng.randbytes(rng.choice((1, 2, 8, 300)))
        elif act == 2:
            del data[at : at + rng.choice((1, 3, 50))]
        elif act == 3:
            del data[at:]
        else:
            data[at:at] = rng.choice((b'"', b"[", b"{", b"]", b"}", b",", b"\\", b"0", b"-", b"\xff", b"\xc3", b"\x00"))
    return bytes(data)


def spliced(rng: random.Random, line: bytes, other: bytes) -> bytes:
    return line[: rng.randrange(len(line) + 1)] + other[rng.randrange(len(other) + 1) :]


def protobuf_like(rng: random.Random, depth: int = 0) -> bytes:
    """Fields of every wire type, nested, with wrong lengths now and then."""
    out = bytearray()
    for _ in range(rng.randrange(6)):
        wire = rng.choice((0, 1, 2, 2, 2, 3, 4, 5, 6))
        out += _varint(rng.choice((1, 2, 3, 4, 5, 6, rng.randrange(1, 400), 2**29 - 1)) << 3 | wire)
        if wire == 0:
            out += _varint(rng.choice((0, 1, 2**31, 2**63, 2**64 - 1, rng.getrandbits(40))))
        elif wire in (1, 5):
            out += rng.randbytes(8 if wire == 1 else 4)
        elif wire == 2:
            inner = protobuf_like(rng, depth + 1) if depth < 4 and rng.random() < 0.5 else rng.choice(STRINGS)
            out += _varint(len(inner) if rng.random() < 0.95 else rng.getrandbits(rng.choice((3, 20, 60)))) + inner
    return bytes(out)


STRINGS: Final = (
    b"", b"0", b"1.50", b"-1", b"NaN", b"9" * 60, b"1e5", b"BTCUSDT", b"\xff\xfe", b"1790000000000", b"spot@public@x"
)  # fmt: skip


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def compressed(data: bytes, how: int) -> bytes:
    """gzip, zlib or raw deflate."""
    engine = zlib.compressobj(1, zlib.DEFLATED, (31, 15, -15)[how])
    return engine.compress(data) + engine.flush()


def as_frame(rng: random.Random, data: bytes) -> str | bytes:
    """The way damaged data reach a decoder."""
    way = rng.random()
    if way < 0.15:
        return data.decode("utf-8", errors="surrogateescape")
    if way < 0.35:
        return compressed(data, rng.randrange(3))
    if way < 0.45:
        packed = compressed(data, rng.randrange(3))
        return with_odd_bytes(rng, packed) if rng.random() < 0.5 else packed[: rng.randrange(len(packed) + 1)]
    return data


def damaged(rng: random.Random, lines: list[bytes]) -> bytes:
    line = rng.choice(lines)
    act = rng.random()
    if act < 0.55:
        return with_odd_values(rng, line)
    return with_odd_bytes(rng, line) if act < 0.9 else spliced(rng, line, rng.choice(lines))


# ── frames ───────────────────────────────────────────────────────────────────────────────────────────────────────────

seeds = st.integers(0, 2**63)


@every_venue
@given(
    frame=st.binary(max_size=200)
    | st.text(max_size=200)
    | st.binary(max_size=60).map(lambda data: b"\x1f\x8b\x08" + data)
)
@example(frame=b"")
@example(frame="")
@example(frame="\ud800")
@example(frame=b"\xef\xbb\xbf{}")
@tries(40)
def test_arbitrary_bytes_and_text(venue: Venue, frame: str | bytes) -> None:
    check_frame(venue, frame)


@every_venue
@given(data=st.data())
@tries(40)
def test_arbitrary_json_in_the_venues_own_words(recorded: Path, venue: Venue, data: st.DataObject) -> None:
    keys, texts = words(recorded, venue.name)
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(texts) | st.text(max_size=8)
    trees = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(keys), inner, max_size=6),
        max_leaves=15,
    )
    text = json.dumps(data.draw(trees), separators=(",", ":"))
    check_frame(venue, text)
    check_instruments(venue, [text.encode()] * len(venue.instruments_requests()))
    check_snapshot(venue, text.encode())


@every_venue
@given(seed=seeds)
@tries(200)
def test_recorded_messages_that_were_damaged(recorded: Path, venue: Venue, seed: int) -> None:
    rng, lines = random.Random(seed), lines_of(recorded, venue)
    for _ in range(A_BATCH):
        check_frame(venue, as_frame(rng, damaged(rng, lines)))


@every_venue
@given(seed=seeds)
@tries(10)
def test_bytes_that_look_like_protobuf(recorded: Path, venue: Venue, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(A_BATCH):
        check_frame(venue, as_frame(rng, protobuf_like(rng)))


@every_venue
def test_recorded_messages_as_they_are_and_cut_short(recorded: Path, venue: Venue) -> None:
    rng = random.Random(3)
    for line in corpus(recorded, venue.name):
        check_frame(venue, line)
        for how in range(3):
            packed = compressed(line, how)
            check_frame(venue, packed)
            check_frame(venue, packed[: rng.randrange(len(packed))])
            check_frame(venue, packed[:-1])
            check_frame(venue, packed + packed[:9])


@every_venue
def test_nesting_without_end(recorded: Path, venue: Venue) -> None:
    keys, _ = words(recorded, venue.name)
    for opened, closed in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")):
        for text in (opened * DEPTH, opened * DEPTH + "1" + closed * DEPTH):
            check_frame(venue, text)
            check_instruments(venue, [text.encode()] * len(venue.instruments_requests()))
            check_snapshot(venue, text.encode())
            for key in keys[:: max(1, len(keys) // 40)]:
                decoded(venue, f'{{"{key}":{text}}}', AnySymbol(venue))


@cache
def bombs() -> list[bytes]:
    """Small messages that unpack to BOMB_BYTES: zeros three ways, and what JSON reads on through."""
    made = []
    for filler, how in ((b"\x00", 0), (b"\x00", 1), (b"\x00", 2), (b" ", 0), (b"[", 0)):
        engine = zlib.compressobj(6, zlib.DEFLATED, (31, 15, -15)[how])
        parts = [engine.compress(filler * MIB) for _ in range(BOMB_BYTES // MIB)]
        made.append(b"".join(parts) + engine.flush())
    whole = gzip.compress(bytes(4 * MIB))
    return [*made, whole * (BOMB_BYTES // (4 * MIB))]  # many members, each of them harmless


@every_venue
def test_a_bomb_costs_a_bounded_memory(venue: Venue) -> None:
    for bomb in bombs():
        assert len(bomb) < MIB
        tracemalloc.start()
        try:
            assert not decoded(venue, bomb, Instruments())
            assert tracemalloc.get_traced_memory()[1] < PEAK_MOST
        finally:
            tracemalloc.stop()


# ── answers of REST ──────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def metadata(recorded: Path, venue: Venue) -> list[bytes]:
    """Recorded answers that hold instruments of the venue."""
    found = []
    for line in corpus(recorded, venue.name):
        for bodies in ([line], [line] * len(venue.instruments_requests())):
            try:
                known = venue.parse_instruments(bodies)
            except Undecodable:
                continue
            if known.by_pair or known.refused:
                found.append(line)
                break
    return found


@every_venue
@given(seed=seeds)
@tries(50)
def test_answers_of_rest_that_were_damaged(recorded: Path, venue: Venue, seed: int) -> None:
    rng, lines = random.Random(seed), corpus(recorded, venue.name)
    likely = metadata(recorded, venue) or lines
    count = len(venue.instruments_requests())
    for _ in range(A_BATCH):
        check_snapshot(venue, damaged(rng, lines))
        bodies = [damaged(rng, likely if rng.random() < 0.7 else lines) for _ in range(count)]
        check_instruments(venue, bodies if rng.random() < 0.9 else bodies[: rng.randrange(count + 1)])
        check_instruments(venue, [damaged(rng, likely)])


@every_venue
@given(body=st.binary(max_size=100))
@tries(15)
def test_arbitrary_bytes_from_rest(venue: Venue, body: bytes) -> None:
    check_snapshot(venue, body)
    check_instruments(venue, [body] * len(venue.instruments_requests()))
    check_instruments(venue, [])


# ── through a session ────────────────────────────────────────────────────────────────────────────────────────────────


@every_venue
@given(seed=seeds)
@tries(60)
def test_a_session_counts_what_it_cannot_read_and_keeps_a_sample(recorded: Path, venue: Venue, seed: int) -> None:
    rng, lines = random.Random(seed), lines_of(recorded, venue)
    known = symbols(recorded, venue)
    instruments = AnySymbol(venue)
    wanted = [raw_instrument(venue, symbol) for symbol in rng.sample(known, min(len(known), 8))]
    depth = rng.choice(DEPTHS)
    routes = sorted({topic.route for each in wanted for topic in venue.topics(each, depth, ALL)}) or ["main"]
    session = Session(venue, instruments, rng.choice(routes), rng)
    now_ms = 1_000.0
    session.opened(now_ms)
    for each in wanted:
        session.add(each, depth, ALL, 7, now_ms)
    unread = samples = 0
    for _ in range(2 * A_BATCH):
        now_ms += rng.choice((1.0, 200.0))
        data = rng.choice(lines) if rng.random() < 0.5 else damaged(rng, lines)
        frame = as_frame(rng, data)
        try:
            venue.decode(frame, 7, instruments)
        except Undecodable:
            unread += 1
        outputs = session.receive(frame, 7, now_ms)
        samples += sum(isinstance(output, Sample) for output in outputs)
        session.tick(now_ms, 7)
    assert session.undecodable == unread
    assert samples == min(unread, SAMPLES_PER_MINUTE)
    for feed in session.feeds.values():
        check_levels(feed.book.bids, feed.book.asks)


# ── that the checks check ────────────────────────────────────────────────────────────────────────────────────────────


class Sloppy:
    """Decoders with the faults that are looked for."""

    name, market = "sloppy", "spot"

    def __init__(self, decode: Callable[[str | bytes], list[Message]]) -> None:
        self._decode = decode

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        return self._decode(frame)


def _another_error(frame: str | bytes) -> list[Message]:
    raise KeyError("bids")


def _too_long(frame: str | bytes) -> list[Message]:
    raise Undecodable("x" * 10_000)


def _spelled(price: str) -> Callable[[str | bytes], list[Message]]:
    snapshot = Snapshot(
        pair=Pair("sloppy", "spot", "A/B"), received_us=1, bids={price: "1"}, asks={}, reason="first"  # type: ignore[arg-type]
    )  # fmt: skip
    return lambda frame: [BookMessage("topic", snapshot)]


@pytest.mark.parametrize(
    "decode", [_another_error, _too_long, _spelled("1.0"), _spelled("NaN"), _spelled("-1"), _spelled("9" * 90)]
)
def test_a_sloppy_decoder_is_caught(decode: Callable[[str | bytes], list[Message]]) -> None:
    with pytest.raises((AssertionError, KeyError, ValueError)):
        decoded(Sloppy(decode), b"", Instruments())  # type: ignore[arg-type]
    assert decoded(Sloppy(lambda frame: [Pong()]), b"", Instruments())  # type: ignore[arg-type]
