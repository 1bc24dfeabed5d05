"""PURE. The frames of HTX, spot and swaps alike: gzip, envelopes, answers, requests, numbers. Names no channel.

Source: venue sheet `htx`, sections 2 to 4. Every frame of the server is one gzip stream of its own; recordings hold them
unpacked too, and both are read. A push is read in one pass where it can be: `ch` stands first, so a look at the first
characters chooses the typed decoder. Every other frame takes the general way.

Prices and sizes are JSON numbers, often with an exponent. They never become floats: the decoder leaves them as the text
they were, and `books.decimals` spells that.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from feeds.venue import Ack, Instrument, Instruments, Message, Pong, Refusal, Reply, Topic, Undecodable, Unused

VENUE: Final = "htx"
MOST_BYTES: Final = 16 * 1024 * 1024  # of a frame unpacked: a full book has some 50 kB

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Payload = TypeVar("Payload")

NOTHING: Final = msgspec.Raw(b"null")  # a field that is missing


# --- numbers --------------------------------------------------------------------------------------------------------------

_ROW: Final = re.compile(r'\[\s*([^\s,\[\]"]+)\s*,\s*([^\s,\[\]"]+)\s*\]')


def number(raw: msgspec.Raw) -> str:
    """A JSON number as the text it was. Whether it is one, who spells it says."""
    return str(raw, "ascii")


def is_missing(raw: msgspec.Raw) -> bool:
    """Whether a field is null, or not there."""
    return bytes(raw) == b"null"


def rows(raw: msgspec.Raw) -> list[tuple[str, str]]:
    """`[[price, size], …]` as text; null is an empty side. Raises ValueError for any other shape.

    The hot path: one search finds all numbers. That they are all there is shown by counting: whatever else valid JSON could
    hold between them would bring another bracket, comma or quotation mark.
    """
    text = str(raw, "ascii")
    found: list[tuple[str, str]] = _ROW.findall(text)
    if not found:
        if text not in ("[]", "null") and "".join(text.split()) != "[]":
            raise ValueError(f"expected [[price, size], …], got {text[:60]!r}")
    elif text.count("[") != len(found) + 1 or text.count(",") != 2 * len(found) - 1 or '"' in text:
        raise ValueError(f"expected [[price, size], …], got {text[:60]!r}")
    return found


# --- pushes ---------------------------------------------------------------------------------------------------------------


class Origin(NamedTuple):
    """Where a payload came from."""

    topic: str  # as we subscribe it
    instrument: Instrument
    received_us: int


class Push(msgspec.Struct, Generic[Payload], gc=False):
    """`{"ch": topic, "ts": …, "tick": payload}`; the topic was read before."""

    ts: Millis
    tick: Payload | msgspec.UnsetType = msgspec.UNSET
    status: str | None = None  # answers of REST have one, pushes do not
    update: bool = False


class Answered(msgspec.Struct, Generic[Payload], gc=False):
    """`{"id": …, "rep": topic, "status": "ok", "ts": …, "data": payload}`."""

    data: Payload
    ts: Millis


class Reader(Generic[Payload]):
    """How the payload of one channel becomes messages; `make` gets the venue's time of the frame too."""

    __slots__ = ("answer", "make", "push")

    def __init__(self, payload: type[Payload], make: Callable[[Payload, int, Origin], list[Message]]) -> None:
        self.push: msgspec.json.Decoder[Push[Payload]] = msgspec.json.Decoder(Push[payload])  # type: ignore[valid-type]  # a type made at run time
        self.answer: msgspec.json.Decoder[Answered[Payload]] = msgspec.json.Decoder(Answered[payload])  # type: ignore[valid-type]
        self.make = make


class TopicName(NamedTuple):
    """`market.btcusdt.mbp.150` → symbol `btcusdt`, channel `mbp.150`; `whole` is the name as we subscribe it."""

    whole: str
    symbol: str
    channel: str


class _Envelope(msgspec.Struct, rename={"err_code": "err-code", "err_msg": "err-msg"}):
    """Every field that tells frames apart. Fields of frames that are not used may have any type."""

    ch: str | None = None
    ping: msgspec.Raw = NOTHING
    pong: msgspec.Raw = NOTHING
    id: str | int | None = None
    subbed: str | None = None
    unsubbed: str | None = None
    rep: str | None = None
    err_code: str | int | None = None
    err_msg: str | None = None
    status: Any = None
    op: Any = None
    topic: Any = None
    action: Any = None
    sub: Any = None
    unsub: Any = None
    req: Any = None
    code: Any = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_envelope: Final = msgspec.json.Decoder(_Envelope)
_anything: Final = msgspec.json.Decoder(msgspec.Raw)
_plain_id: Final = msgspec.json.Decoder(int | str)
_PUSH: Final = '{"ch":"market.'
_ECHO_MOST: Final = 100  # characters of a ping's value
_TOPIC_MOST: Final = 100  # characters of a topic; longer ones are nobody's
# Error codes that say that the request itself is wrong: sent again it would be refused again (section 4)
_FATAL: Final = frozenset({"bad-request"})
_PACE: Final = ("429", "too many")


class Frames:
    """Decodes the frames of one market.

    readers     by channel: pushes
    answers     by channel: replies to `req`
    fold        how a symbol is spelled: swap topics accept any case and answer in upper case (section 1)
    """

    def __init__(
        self,
        market: str,
        readers: Mapping[str, Reader[Any]],
        answers: Mapping[str, Reader[Any]],
        fold: Callable[[str], str],
    ) -> None:
        self._market = market
        self._readers = readers
        self._answers = answers
        self._split = lru_cache(maxsize=8192)(lambda topic: _split(topic, fold))

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable and nothing else."""
        try:
            text = frame if isinstance(frame, str) else str(unpacked(frame), "utf-8")
            if text.startswith(_PUSH):
                end = text.find('"', len(_PUSH), len(_PUSH) + _TOPIC_MOST)
                if end > 0 and "\\" not in (topic := text[7:end]):
                    return self._push(topic, text, received_us, instruments)
            return self._general(text, received_us, instruments)
        except Undecodable:
            raise
        except (ValueError, RecursionError, zlib.error) as error:  # whatever gzip, JSON, UTF-8 or decimals have to say
            raise Undecodable(f"{VENUE} {self._market}: {one_line(error)}") from error

    def _push(self, topic: str, text: str, received_us: int, instruments: Instruments) -> list[Message]:
        name = self._split(topic)
        reader = self._readers.get(name.channel)
        if reader is None:
            _anything.decode(text)  # a broken frame is not an unused one
            return [Unused(f"channel {(name.channel or topic)[:40]}")]
        instrument = self._find(name, instruments)
        if isinstance(instrument, Unused):
            _anything.decode(text)
            return [instrument]
        push = reader.push.decode(text)
        if push.status is not None:
            return [Unused("answer of REST")]
        if push.update:
            return [Unused("changes of 2019, without a sequence")]
        if isinstance(push.tick, msgspec.UnsetType):
            raise Undecodable(f"{VENUE} {self._market}: a push of {topic} without tick")
        return reader.make(push.tick, push.ts, Origin(name.whole, instrument, received_us))

    def _find(self, name: TopicName, instruments: Instruments) -> Instrument | Unused:
        if self._market == "spot" and name.symbol != name.symbol.lower():
            return Unused(f"symbol {name.symbol[:40]}: a contract, not spot")
        instrument = instruments.find(name.symbol)
        if instrument is not None:
            return instrument
        reason = instruments.refused.get(name.symbol, "not among the instruments")
        return Unused(f"symbol {name.symbol[:40]}: {reason}")

    def _general(self, text: str, received_us: int, instruments: Instruments) -> list[Message]:
        if text.lstrip()[:1] == "[":
            _anything.decode(text)
            return [Unused("list: rows of an answer of REST")]
        seen = _envelope.decode(text)
        if seen.action is not None:
            return [Unused(f"frame of the private socket: action {str(seen.action)[:40]}")]
        if seen.op is not None:
            what = f"op {str(seen.op)[:40]}" + ("" if seen.topic is None else f" of {str(seen.topic)[:60]}")
            return [Unused(f"frame of a notice or private socket: {what}")]
        if not is_missing(seen.ping):
            return [Reply(f'{{"pong":{_echo(seen.ping)}}}')]
        if not is_missing(seen.pong):
            return [Pong()]
        if seen.ch is not None:
            if seen.ch.startswith("market.") and len(seen.ch) <= _TOPIC_MOST:
                return self._push(seen.ch, text, received_us, instruments)
            return [Unused(f"channel {seen.ch[:40]}")]
        answer = self._answer(seen, text, received_us, instruments)
        if answer is None:
            raise Undecodable(f"{VENUE} {self._market}: neither a push, a ping nor an answer: {text[:80]!r}")
        return answer

    def _answer(self, seen: _Envelope, text: str, received_us: int, instruments: Instruments) -> list[Message] | None:
        """Answers to requests (section 4); one request is one topic, so the id says which."""
        request_id = None if seen.id is None or seen.id == "" else str(seen.id)[:64]
        if seen.status == "error" and seen.err_code is not None and seen.data is msgspec.UNSET:
            code, words = str(seen.err_code)[:40], (seen.err_msg or "")[:200]
            paced = any(word in f"{code} {words}".lower() for word in _PACE)
            return [Refusal(request_id, None, code, words, fatal_topic=code in _FATAL and not paced)]
        for topic, subscribed in ((seen.subbed, True), (seen.unsubbed, False)):
            if topic is not None:
                return [Ack(request_id, self._split(topic[:_TOPIC_MOST]).whole, subscribed)]
        if seen.rep is not None:
            name = self._split(seen.rep[:_TOPIC_MOST])
            reader = self._answers.get(name.channel)
            if reader is None:
                return [Unused(f"answer to a request of channel {name.channel[:40]}")]
            instrument = self._find(name, instruments)
            if isinstance(instrument, Unused):
                return [instrument]
            reply = reader.answer.decode(text)
            return reader.make(reply.data, reply.ts, Origin(name.whole, instrument, received_us))
        if (seen.sub, seen.unsub, seen.req) != (None, None, None):
            return [Unused("a request, not an answer")]
        if seen.status is not None or seen.code is not None or seen.data is not msgspec.UNSET:
            return [Unused("answer of REST")]
        return None


def unpacked(frame: bytes) -> bytes:
    """A gzip frame unpacked, any other as it is. Raises zlib.error and ValueError; never makes more than MOST_BYTES."""
    if frame[:2] != b"\x1f\x8b":
        return frame
    gzip = zlib.decompressobj(31)
    data = gzip.decompress(frame, MOST_BYTES)
    if not gzip.eof:
        raise ValueError(f"gzip that does not end, or has more than {MOST_BYTES} bytes")
    if gzip.unused_data:
        raise ValueError(f"{len(gzip.unused_data)} bytes behind the gzip stream")
    return data


def one_line(error: BaseException) -> str:
    """What a library has to say, short enough for a log."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _split(topic: str, fold: Callable[[str], str]) -> TopicName:
    market, _, rest = topic.partition(".")
    symbol, _, channel = rest.partition(".")
    if market != "market" or not channel:
        return TopicName(topic, "", "")  # `market.tickers`, and what is not market data
    symbol = fold(symbol)
    return TopicName(topic_name(symbol, channel), symbol, channel)


def topic_name(symbol: str, channel: str) -> str:
    """A topic is a channel of one symbol."""
    return f"market.{symbol}.{channel}"


def _echo(raw: msgspec.Raw) -> str:
    """The value of a ping, unchanged in value and type (section 3). Raises ValueError for what is no value."""
    text = str(raw, "utf-8")
    if len(text) > _ECHO_MOST:
        raise ValueError(f"a ping of {len(text)} characters")
    _plain_id.decode(raw)
    return text


def request(word: str, topic: Topic, request_id: int, data_type: str | None = None) -> str:
    """A `sub`, `unsub` or `req` frame: one topic, no lists (section 4)."""
    asked = {word: topic.name, "id": str(request_id)}
    return msgspec.json.encode(asked if data_type is None else asked | {"data_type": data_type}).decode()
