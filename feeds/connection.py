"""One websocket that is opened again for ever. The only `websockets` client.

It moves frames and says when it is up and down; what frames mean, when it is dead and what is sent is the session's business.
Policy stands in three functions: `is_fatal` (would trying again soon help?), `retry_after_ms` (did the server name a time?)
and `fleet.backoff.delays`, started anew only after the handler has had good data.
"""

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event

from fleet import backoff

MAX_FRAME = 16 * 1024 * 1024  # bytes; a full book of 5000 levels a side is about 0.5 MB
FULL_READ = 65_536  # bytes; so much in one read means that the kernel has more
MAX_UNSENT = 1000  # texts; a venue that takes none of them is no connection
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
TEMPORARY_STATUS = frozenset({408, 418, 425, 429})  # 4xx that pass by waiting


class Down(NamedTuple):
    """Why the connection ended, and what that means. `retry_after_ms`: the server said not before then."""

    reason: str
    fatal: bool = False
    retry_after_ms: int | None = None


class Handler(Protocol):
    """Whoever owns the connection. All synchronous: `received` is the hot path."""

    def opened(self) -> None: ...
    def received(self, frame: bytes) -> None: ...
    def down(self, down: Down) -> bool:
        """Whether the connection had been good, so that the next delay is short again."""
        ...


def is_fatal(error: BaseException) -> bool:
    """Whether the same attempt would fail again until somebody changes something: a wrong url, a certificate, a 4xx."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return 400 <= status < 500 and status not in TEMPORARY_STATUS
    return isinstance(error, InvalidURI | ssl.SSLCertVerificationError)


def retry_after_ms(error: BaseException) -> int | None:
    """The server's Retry-After (seconds), if it refused with one."""
    if isinstance(error, InvalidStatus):
        text = error.response.headers.get("Retry-After", "")
        if text.isascii() and text.isdecimal():
            return int(text[:6]) * 1000
    return None


class _Socket(ClientConnection):
    """Hands each message on where its bytes arrive: no queue, no task between the socket and the handler.

    The library's own queue and `recv` cost about 2 µs a message, and hold back pongs and closes behind whatever waits there.
    `heard` notes every arrival of bytes, so that control frames (a server's ping, the pong to ours) count as life.
    """

    heard = False
    held = False
    deliver: Callable[[bytes], None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.early: list[bytes] = []  # messages that came before `deliver` was set
        self.ended: asyncio.Future[None] = self.loop.create_future()  # the socket is gone, or the handler failed
        self._fragments: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.heard = True
        super().data_received(data)
        if len(data) >= FULL_READ and not self.held:
            # more is waiting: let the rest of the daemon run first, or a burst of one venue would starve the leases
            self.transport.pause_reading()
            self.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.held and not self.transport.is_closing():
            self.transport.resume_reading()

    def hold(self, *, held: bool) -> None:
        """Stop reading, or go on."""
        self.held = held
        if held:
            self.transport.pause_reading()
        else:
            self._read_on()

    def process_event(self, event: Event) -> None:
        """A whole message goes to `deliver`; control frames and the handshake go the library's way."""
        if type(event) is not Frame or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif event.fin and not self._fragments:
            self._hand_on(bytes(event.data))
        else:
            self._fragments.append(bytes(event.data))
            if event.fin:
                whole, self._fragments = b"".join(self._fragments), []
                self._hand_on(whole)

    def _hand_on(self, message: bytes) -> None:
        if self.deliver is None:
            self.early.append(message)
        elif not self.ended.done():
            try:
                self.deliver(message)
            except Exception as error:  # noqa: BLE001 - told to whoever waits; raised here it would be lost in the event loop
                self.ended.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.ended.done():
            self.ended.set_result(None)


class Connection:
    """`run` opens `url()` again and again until cancelled; `send`, `ping`, `drop` act on the open socket, if there is one.

    gate        while it is clear nothing is read (bounded memory: the venue waits in TCP)
    admit       awaited before every attempt: the budget of connects, the address; a Down is the attempt's end
    attempts    connections tried
    """

    def __init__(
        self,
        url: str,
        handler: Handler,
        *,
        gate: asyncio.Event,
        admit: Callable[[], Awaitable[Down | None]],
        rng: random.Random,
        first_delay_s: float = backoff.FIRST_S,
    ) -> None:
        self.url = url
        self.attempts = 0
        self._handler = handler
        self._gate = gate
        self._admit = admit
        self._rng = rng
        self._first_delay_s = first_delay_s
        self._socket: _Socket | None = None
        self._unsent: deque[str | None] = deque()  # None: a PING frame
        self._something_unsent = asyncio.Event()
        self._held: deque[bytes] = deque()
        self._something_held = asyncio.Event()
        self._drop_reason: str | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.url} {'open' if self._socket else 'down'}, {self.attempts} attempts>"

    def send(self, text: str) -> None:
        """Queue a text frame; dropped when there is no socket (whoever opens the next one starts over)."""
        self._queue(text)

    def ping(self) -> None:
        """Queue a PING control frame."""
        self._queue(None)

    def drop(self, reason: str) -> None:
        """Cut the open socket without a closing handshake (the other side may not answer); `run` opens the next."""
        if self._socket is not None:
            self._drop_reason = self._drop_reason or reason
            self._socket.transport.abort()

    def take_heard(self) -> bool:
        """Whether any bytes came since the last call."""
        if self._socket is None or not self._socket.heard:
            return False
        self._socket.heard = False
        return True

    def _queue(self, text: str | None) -> None:
        if self._socket is None:
            return
        if len(self._unsent) >= MAX_UNSENT:
            self.drop(f"{MAX_UNSENT} frames could not be sent")
            return
        self._unsent.append(text)
        self._something_unsent.set()

    async def run(self) -> None:
        """Until cancelled."""
        delays = backoff.delays(self._rng, self._first_delay_s, backoff.VENUE_CAP_S)
        while True:
            refused = await self._admit()
            self.attempts += 1
            down = refused or await self._once()
            if self._handler.down(down):
                delays = backoff.delays(self._rng, self._first_delay_s, backoff.VENUE_CAP_S)
            delay_s = backoff.CAP_S * (0.5 + self._rng.random() / 2) if down.fatal else next(delays)
            await asyncio.sleep(max(delay_s, (down.retry_after_ms or 0) / 1000))

    async def _once(self) -> Down:
        """One socket's life. Never raises but for cancellation."""
        try:
            socket = await connect(
                self.url,
                create_connection=_Socket,
                compression=None,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=None,
                max_size=MAX_FRAME,
            )
        except (OSError, WebSocketException, EOFError) as error:
            return Down(f"cannot connect: {_say(error)}", is_fatal(error), retry_after_ms(error))
        if not isinstance(socket, _Socket):
            raise TypeError(f"expected our own connection class, got {type(socket).__name__}")
        try:
            return await self._use(socket)
        finally:
            self._socket = None
            socket.transport.abort()

    async def _use(self, socket: _Socket) -> Down:
        self._socket, self._drop_reason = socket, None
        self._unsent.clear()
        self._held.clear()
        self._handler.opened()
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(self._send_all(socket), name=f"send to {self.url}"),
                group.create_task(self._release(socket), name=f"hold {self.url}"),
            ]
            try:
                for message in socket.early:
                    self._received(message)
                socket.early.clear()
                socket.deliver = self._received
                await socket.ended
            finally:
                for helper in helpers:
                    helper.cancel()
        return Down(self._drop_reason or f"closed: {_say(socket.protocol.close_exc)}")

    def _received(self, message: bytes) -> None:
        """The hot path. While the gate is shut the transport is not read: TCP holds the venue back."""
        if self._held or not self._gate.is_set():
            self._held.append(message)
            self._something_held.set()
        else:
            self._handler.received(message)

    async def _release(self, socket: _Socket) -> None:
        while True:
            await self._something_held.wait()
            self._something_held.clear()
            socket.hold(held=True)
            await self._gate.wait()
            while self._held:
                self._handler.received(self._held.popleft())
            socket.hold(held=False)

    async def _send_all(self, socket: _Socket) -> None:
        while True:
            await self._something_unsent.wait()
            self._something_unsent.clear()
            while self._unsent:
                text = self._unsent.popleft()
                try:
                    if text is None:
                        await socket.ping()
                    else:
                        await socket.send(text)
                except ConnectionClosed:
                    return  # the reader sees it too and says why


def _say(error: BaseException) -> str:
    """What a library has to say, short enough for a status line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
