"""The bytes: one listening port that speaks HTTP/1.1 and, on upgrade, websocket. The only `import websockets` here.

Built on the sans-I/O protocol of websockets rather than its server: a simulated venue must count PING and PONG frames,
answer POST bodies, and be able to go half-open, where not even a pong leaves.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

__all__ = ["Opcode", "Peer", "Request", "Response", "Server", "binary_frame", "text_frame"]

_log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.frames")
_wire_log.setLevel(logging.WARNING)  # websockets logs every frame at DEBUG

_MAX_HEAD = 64 * 1024  # bytes of request line and headers
_MAX_BODY = 1024 * 1024
_CLOSE_GRACE_S = 5.0  # a client that does not answer our close frame is cut after this
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 418: "I'm a teapot",
            429: "Too Many Requests", 503: "Service Unavailable"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `path` is decoded, `query` holds the last value of each name."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    remote_ip: str


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer, JSON unless `content_type` says otherwise."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def encode(self) -> bytes:
        """The bytes on the wire."""
        lines = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Status')}", f"Content-Type: {self.content_type}"]
        lines += [f"Content-Length: {len(self.body)}", *(f"{name}: {value}" for name, value in self.headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


class Server(Protocol):
    """What a port's owner answers. `admit` returns None to accept the websocket."""

    def connected(self, peer: "Peer") -> None: ...
    def disconnected(self, peer: "Peer") -> None: ...
    def answer(self, request: Request) -> Response | None: ...
    def admit(self, peer: "Peer", request: Request) -> Response | None: ...
    def opened(self, peer: "Peer", request: Request) -> None: ...
    def received(self, peer: "Peer", opcode: Opcode, data: bytes) -> None: ...
    def closed(self, peer: "Peer") -> None: ...


def text_frame(payload: bytes) -> bytes:
    """A finished TEXT frame: encode once, queue to every subscriber."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def binary_frame(payload: bytes) -> bytes:
    """A finished BINARY frame."""
    return Frame(Opcode.BINARY, payload).serialize(mask=False)


class Peer(asyncio.Protocol):
    """One accepted connection. Plain HTTP until the client asks for a websocket."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._protocol: ServerProtocol | None = None
        self._open = False
        self._queue: list[bytes] = []
        self._late: deque[tuple[float, bytes]] = deque()  # (due in loop seconds, data)
        self._fragments: list[bytes] = []
        self._fragment_opcode = Opcode.TEXT
        self.remote_ip = ""
        self.session: Any = None  # what the venue remembers of this connection
        self.silenced = False  # half-open: nothing leaves any more
        self.delay_s = 0.0  # added to everything that leaves
        self._sent_at_s = self._heard_at_s = self._opened_at_s = self._loop.time()
        self.frames_sent = 0

    # ── asyncio.Protocol ─────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # a stream listener makes no other
        self.remote_ip = (transport.get_extra_info("peername") or ("?",))[0]
        self._server.connected(self)

    def data_received(self, data: bytes) -> None:
        if self._protocol is not None:
            self._receive_frames(data)
            return
        self._buffer += data
        while self._protocol is None and self._next_request():
            pass

    def eof_received(self) -> bool:
        return False  # close our side too

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._late.clear()
        if self._open:
            self._open = False
            self._server.closed(self)
        self._server.disconnected(self)

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_open(self) -> bool:
        """The websocket is established and no close frame went either way."""
        return self._open and self._protocol is not None and self._protocol.state is State.OPEN

    @property
    def backlog(self) -> int:
        """Bytes that the client has not read yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def age_ms(self) -> float:
        """Milliseconds since the websocket opened."""
        return (self._loop.time() - self._opened_at_s) * 1000

    @property
    def idle_ms(self) -> float:
        """Milliseconds since anything went either way."""
        return (self._loop.time() - max(self._sent_at_s, self._heard_at_s)) * 1000

    def queue(self, frame: bytes) -> None:
        """Append an encoded frame; it leaves with the next `flush()`."""
        self._queue.append(frame)

    def flush(self) -> None:
        """Write what is queued, in one piece."""
        if self._queue:
            data = b"".join(self._queue)
            frames = len(self._queue)
            self._queue.clear()
            if self.is_open:
                self.frames_sent += frames
                self._sent_at_s = self._loop.time()
                self._write(data)

    def send(self, payload: bytes) -> None:
        """Send a text message at once, behind what is queued."""
        self.queue(text_frame(payload))
        self.flush()

    def ping(self, payload: bytes) -> None:
        """Send a websocket PING frame."""
        self.queue(Frame(Opcode.PING, payload).serialize(mask=False))
        self.flush()

    def close(self, code: int, reason: str = "") -> None:
        """Start the closing handshake; a client that does not answer is cut after 5 s."""
        self.flush()
        if self.is_open and self._protocol is not None:
            self._protocol.send_close(code, reason)
            self._drain_protocol()
            self._loop.call_later(_CLOSE_GRACE_S, self.abort)

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is None or self.silenced:
            return
        if self.delay_s or self._late:
            self._late.append((self._loop.time() + self.delay_s, data))
            if len(self._late) == 1:
                self._loop.call_later(self.delay_s, self._write_late)
            return
        self._transport.write(data)

    def _write_late(self) -> None:
        now = self._loop.time() + 0.001  # the loop's timers have about that resolution
        while self._late and self._late[0][0] <= now:
            _, data = self._late.popleft()
            if self._transport is not None and not self.silenced:
                self._transport.write(data)
        if self._late:
            self._loop.call_later(max(0.0, self._late[0][0] - now), self._write_late)

    # ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _next_request(self) -> bool:
        """Answer one buffered request. False when more bytes are needed or the connection is done."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._transport is None:
            if len(self._buffer) > _MAX_HEAD:
                self.abort()
            return False
        head = bytes(self._buffer[: end + 4])
        try:
            request, length = _parse_head(head, self.remote_ip)
        except ValueError as error:
            _log.info("%s sent what is no HTTP request: %s", self.remote_ip, error)
            self._finish_http(Response(400, str(error).encode(), content_type="text/plain"))
            return False
        if request.headers.get("upgrade", "").lower() == "websocket":
            rest = bytes(self._buffer[end + 4 :])
            self._buffer.clear()
            self._upgrade(request, head)
            if rest and self._protocol is not None:
                self._receive_frames(rest)
            return False
        if len(self._buffer) < end + 4 + length:
            return False
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        full = Request(request.method, request.path, request.query, request.headers, body, request.remote_ip)
        response = self._server.answer(full)
        if response is None:
            self.abort()
            return False
        if full.headers.get("connection", "").lower() == "close":
            self._finish_http(response)
            return False
        self._transport.write(response.encode())
        return True

    def _finish_http(self, response: Response) -> None:
        if self._transport is not None:
            self._transport.write(response.encode())
            self._transport.close()

    # ── websocket ────────────────────────────────────────────────────────────────────────────────────────────────

    def _upgrade(self, request: Request, head: bytes) -> None:
        refusal = self._server.admit(self, request)
        if refusal is not None:
            if refusal.status:
                self._finish_http(refusal)
            else:
                self.abort()
            return
        protocol = ServerProtocol(logger=_wire_log)
        protocol.receive_data(head)
        events = protocol.events_received()
        if not events:
            why = protocol.handshake_exc or InvalidHandshake("no request")
            self._finish_http(Response(400, str(why).encode(), content_type="text/plain"))
            return
        answer = protocol.accept(events[0])  # type: ignore[arg-type]  # the first event is the request
        protocol.send_response(answer)
        self._protocol = protocol
        self._drain_protocol()
        if protocol.state is State.OPEN:
            self._open = True
            self._sent_at_s = self._heard_at_s = self._opened_at_s = self._loop.time()
            self._server.opened(self, request)

    def _receive_frames(self, data: bytes) -> None:
        if self.silenced or self._protocol is None:
            return
        self._heard_at_s = self._loop.time()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and self._open:
                self._dispatch(event)
        self._drain_protocol()

    def _dispatch(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.PING, Opcode.PONG):
            self._server.received(self, frame.opcode, bytes(frame.data))
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._fragment_opcode = frame.opcode
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                message = b"".join(self._fragments)
                self._fragments.clear()
                self._server.received(self, self._fragment_opcode, message)

    def _drain_protocol(self) -> None:
        """Write what the protocol wants said: handshake, pongs, close frames."""
        for data in self._protocol.data_to_send() if self._protocol is not None else ():
            if data:
                self._write(data)
            elif self._transport is not None:
                self._transport.close()  # both close frames are through: the server closes TCP


def _parse_head(head: bytes, remote_ip: str) -> tuple[Request, int]:
    """The request without its body, and the length of the body. Raises ValueError with what is wrong."""
    lines = head[:-4].decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise ValueError(f"expected 'METHOD PATH HTTP/1.1', got {lines[0][:80]!r}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if "transfer-encoding" in headers:
        raise ValueError("expected a body with Content-Length, got Transfer-Encoding")
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _MAX_BODY:
        raise ValueError(f"expected a body of at most {_MAX_BODY} bytes, got {length}")
    url = urlsplit(words[1])
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    return Request(words[0], unquote(url.path), query, headers, b"", remote_ip), length
