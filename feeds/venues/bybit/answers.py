"""PURE. Frames of Bybit that are no pushes: acknowledgements, refusals, pongs. Source: venue sheet `bybit`, sections 3 and 4.

A refusal is of a whole request: one bad or already subscribed topic poisons all of them. Errors have no code, only a text;
`code` here is what we make of the text.
"""

from collections.abc import Mapping
from typing import Any, Final

from feeds.venue import Ack, Message, Pong, Refusal, Undecodable, Unused

VENUE: Final = "bybit"

_STANDING: Final = "already subscribed"
# Asking again would be refused again. The first is linear's, the second spot's, the third of recordings.
_UNKNOWN: Final = ("handler not found", "invalid symbol", "invalid topic")
_OTHERS: Final = ("args size", "invalid op")
# Fields that only answers of REST, and rows of them, have at their top. Recordings mix them among frames; a socket never does.
_REST_WORDS: Final = frozenset(
    {"ret_code", "category", "symbol", "result", "s", "e", "m", "walletBalance", "totalEquity"}
)


def _named(text: str) -> str | None:
    """The topic that an error names: `…,topic:X`, `Invalid topic: X`, `Invalid symbol :[X]`. A bare symbol is none, and
    neither are several."""
    for mark in ("topic:", ":["):
        _, found, tail = text.partition(mark)
        name = tail.strip().rstrip("]")
        if found and "." in name and "," not in name and " " not in name:
            return name
    return None


def _refusal(value: Mapping[str, Any], request: Mapping[str, Any], request_id: str | None) -> Refusal:
    text = str(value.get("ret_msg") or value.get("retMsg") or "")[:200]
    lower = text.lower()
    code = next(
        (words for words in (_STANDING, *_UNKNOWN, *_OTHERS) if words in lower), str(value.get("retCode", ""))[:20]
    )
    topic, args = _named(text), request.get("args")
    if topic is None and isinstance(args, list) and len(args) == 1 and isinstance(args[0], str):
        topic = args[0]
    return Refusal(
        request_id,
        topic,
        code,
        text,
        fatal_topic=code in _UNKNOWN,
        whole_request=topic is not None,
        standing=code == _STANDING,
    )


def read_answer(value: Mapping[str, Any]) -> Message:
    """Raises Undecodable for what is no answer either."""
    op = value.get("op")
    if op == "pong" or value.get("ret_msg") == "pong":  # on public sockets the op of a pong is `ping`
        return Pong()
    echoed = value.get("request")  # some errors have it in place of op and req_id
    request = echoed if isinstance(echoed, dict) else {}
    op = request.get("op") if op is None else op
    number = value.get("req_id") or request.get("req_id")
    request_id = str(number)[:64] if number else None
    success = value.get("success")
    if isinstance(success, bool) and value.get("type") == "COMMAND_RESP":
        return Unused("answer of the socket of options")
    if isinstance(success, bool) and op != "auth":
        if not success:
            return _refusal(value, request, request_id)
        if op in ("subscribe", "unsubscribe"):
            return Ack(request_id, None, op == "subscribe")
        return Unused(f"answer to op {str(op)[:40]}")
    if op is not None:
        return Unused(f"request, or answer of a private socket, of op {str(op)[:40]}")
    if "retCode" in value or not _REST_WORDS.isdisjoint(value):
        return Unused("answer of REST, or a frame of before version 5")
    raise Undecodable(f"{VENUE}: neither a push nor an answer: {sorted(value)[:8]}")
