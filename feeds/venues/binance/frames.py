"""PURE. The frames of Binance, spot and USDⓈ-M futures alike: envelopes, answers, subscribe frames.

Source: venue sheet `binance`, sections 2 and 4. Nothing here knows which of the two markets it serves.

A frame is read in one pass where it can be: the stream name stands first in a combined frame, so a look at the first
bytes chooses the typed decoder. Every other shape (answers, bare events, other key order) takes the general way.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from feeds.venue import Ack, GoingAway, Instruments, Message, Refusal, Topic, Undecodable, Unused

VENUE: Final = "binance"

Payload = TypeVar("Payload")


class Combined(msgspec.Struct, Generic[Payload], gc=False):
    """`{"stream": name, "data": payload}`; the name was read before."""

    data: Payload


class Origin(NamedTuple):
    """Where a payload came from."""

    topic: str  # the stream's name
    symbol: str | None  # as REST spells it; None: an all-market stream
    received_us: int
    instruments: Instruments


class Reader(Generic[Payload]):
    """How the payload of one kind of stream becomes messages."""

    __slots__ = ("combined", "make", "payload")

    def __init__(self, payload: type[Payload], make: Callable[[Payload, Origin], list[Message]]) -> None:
        self.payload = payload
        self.combined = msgspec.json.Decoder(Combined[payload])  # type: ignore[valid-type]  # a type made at run time
        self.make = make


# --- streams ------------------------------------------------------------------------------------------------------------


class StreamName(NamedTuple):
    """`btcusdt@depth20@100ms` → kind `depth20`, symbol `BTCUSDT`. An all-market stream (`!bookTicker`) has no symbol."""

    symbol: str | None
    kind: str


@lru_cache(maxsize=8192)
def split_stream(name: str) -> StreamName:
    """Take a stream name apart. Cadence suffixes (`@100ms`) do not change the kind."""
    if name.startswith("!"):
        return StreamName(None, name[1:].partition("@")[0])
    symbol, at, channel = name.partition("@")
    if not at:
        return StreamName(None, "")  # a listen key, or no stream of ours
    return StreamName(symbol.upper(), channel.partition("@")[0])


_COMBINED: Final = '{"stream":"'
# Fields that only answers of REST have at their top. Recordings mix them among frames; a socket never does.
_REST_WORDS: Final = frozenset({"symbol", "symbols", "serverTime", "price", "balances", "assets"})
_any_payload: Final = msgspec.json.Decoder(Combined[msgspec.Raw])


class Streams:
    """Decodes the frames of one market; `readers` by kind of stream, `bare` maps an event's name to its kind."""

    def __init__(self, market: str, readers: Mapping[str, Reader[Any]], bare: Mapping[str, str]) -> None:
        self._market = market
        self._readers = readers
        self._bare = bare

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable and nothing else."""
        try:
            text = frame if isinstance(frame, str) else str(frame, "utf-8")
            if text.startswith(_COMBINED):
                stream = text[len(_COMBINED) : text.index('"', len(_COMBINED))]
                if "\\" not in stream:
                    symbol, kind = split_stream(stream)
                    reader = self._readers.get(kind)
                    if reader is not None:
                        origin = Origin(stream, symbol, received_us, instruments)
                        return reader.make(reader.combined.decode(text).data, origin)
                    if kind != "serverShutdown":
                        _any_payload.decode(text)  # a broken frame is not an unused one
                        return [unused_stream(kind)]
            return self._general(msgspec.json.decode(text), received_us, instruments)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:  # whatever JSON, UTF-8, types or decimals have to say
            raise Undecodable(f"{VENUE} {self._market}: {one_line(error)}") from error

    def _general(self, value: Any, received_us: int, instruments: Instruments) -> list[Message]:
        if isinstance(value, list):
            return [Unused("list of events of an all-market stream")]
        if not isinstance(value, dict):
            raise Undecodable(f"{VENUE} {self._market}: expected a JSON object, got {type(value).__name__}")
        stream = value.get("stream")
        if isinstance(stream, str):
            return self._combined(stream, value.get("data"), received_us, instruments)
        wrapped = value.get("event")
        if isinstance(wrapped, dict):  # the WS-API's wrapping
            return [_closing(wrapped) or Unused("event of an account stream")]
        if (event := value.get("e")) is not None:
            return self._event(str(event), value, received_us, instruments)
        if (answer := _answer(value)) is not None:
            return [answer]
        if self._bare.get("") is not None and {"u", "s", "b", "B", "a", "A"} <= value.keys():
            return self._event("", value, received_us, instruments)
        if "lastUpdateId" in value:
            return [Unused("depth that names no symbol (a raw stream, or an answer of REST)")]
        if not value or not _REST_WORDS.isdisjoint(value):
            return [Unused("answer of REST")]
        raise Undecodable(f"{VENUE} {self._market}: neither a stream, an event nor an answer: {sorted(value)[:8]}")

    def _combined(self, stream: str, data: Any, received_us: int, instruments: Instruments) -> list[Message]:
        symbol, kind = split_stream(stream)
        reader = self._readers.get(kind)
        if reader is None:
            return [(_closing(data) if isinstance(data, dict) else None) or unused_stream(kind)]
        payload = msgspec.convert(data, reader.payload)
        return reader.make(payload, Origin(stream, symbol, received_us, instruments))

    def _event(self, event: str, value: dict[str, Any], received_us: int, instruments: Instruments) -> list[Message]:
        kind, symbol = self._bare.get(event), value.get("s")
        if kind is None or not isinstance(symbol, str):
            return [_closing(value) or Unused(f"event {event[:40]}")]
        payload = msgspec.convert(value, self._readers[kind].payload)
        origin = Origin(f"{symbol.lower()}@{kind}", symbol, received_us, instruments)
        return self._readers[kind].make(payload, origin)


def one_line(error: BaseException) -> str:
    """What a library has to say, short enough for a log."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _closing(event: Mapping[str, Any]) -> GoingAway | None:
    return GoingAway("serverShutdown") if event.get("e") == "serverShutdown" else None


def unused_stream(kind: str) -> Unused:
    """A stream we know by name and do not use."""
    return Unused(f"stream {kind[:40]}" if kind else "stream without a channel (a listen key, or not Binance's)")


# --- requests and answers (sheet, section 4) ------------------------------------------------------------------------------


def request(method: str, topics: Sequence[Topic], request_id: int) -> str:
    """A SUBSCRIBE or UNSUBSCRIBE frame; a stream that feeds two things of a pair is named once."""
    names = list(dict.fromkeys(topic.name for topic in topics))
    return msgspec.json.encode({"method": method, "params": names, "id": request_id}).decode()


def _answer(value: Mapping[str, Any]) -> Message | None:
    """Both shapes of an error, the acknowledgement, and answers to what we never ask."""
    request_id = None if value.get("id") is None else str(value["id"])[:64]
    error = value.get("error", value)
    if isinstance(error, dict) and isinstance(error.get("code"), int) and "status" not in value:
        code = error["code"]
        # 0-3 say that the request itself is wrong (sheet, section 4): sent again it would be refused again
        return Refusal(request_id, None, str(code), str(error.get("msg", ""))[:200], fatal_topic=0 <= code <= 3)
    if "method" in value:
        return Unused("a request, not an answer")
    if request_id is None:
        return None
    if "status" in value:
        return Unused("answer of the WS-API")
    if "result" not in value:
        return None
    return Ack(request_id, None, None) if value["result"] is None else Unused("answer that is no acknowledgement")
