"""`fleet top`: read, draw, listen. The loop lives through every error of reading; it shows them."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from books.loaded import LoadedBook
from fleet.errors import FleetError
from fleet.pair import Pair
from ops.status import FleetStatus
from ops.top.controls import press
from ops.top.keyboard import ESCAPE_WAIT_S, KeyDecoder
from ops.top.state import State, changed
from ops.top.terminal import Terminal
from ops.top.views import view

REFRESH_S = 1.0

ReadStatus = Callable[[], Awaitable[FleetStatus]]
ReadBook = Callable[[Pair], Awaitable[LoadedBook]]


class Top:
    """One `fleet top`. `read_status` and `read_book` ask Redis in one round trip each and raise FleetError."""

    def __init__(self, terminal: Terminal, read_status: ReadStatus, read_book: ReadBook) -> None:
        self._terminal = terminal
        self._read_status = read_status
        self._read_book = read_book
        self._decoder = KeyDecoder()
        self._escape: asyncio.TimerHandle | None = None
        self._redraw = asyncio.Event()
        self._refresh = asyncio.Event()
        self.state = State()

    async def run(self) -> None:
        """Until q, Ctrl-C, SIGTERM or the end of the terminal."""
        loop = asyncio.get_running_loop()
        handlers = {
            **dict.fromkeys((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), self._quit),
            signal.SIGWINCH: self._redraw.set,
            signal.SIGTSTP: self._suspend,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        with self._terminal:
            loop.add_reader(self._terminal.keys, self._typed)
            try:
                async with asyncio.TaskGroup() as group:
                    reader = group.create_task(self._keep_reading(), name="top: refresh")
                    await self._keep_drawing()
                    reader.cancel()
            finally:
                loop.remove_reader(self._terminal.keys)
                for number in handlers:
                    loop.remove_signal_handler(number)

    async def _keep_drawing(self) -> None:
        while not self.state.quit:
            self._redraw.clear()
            width, height = self._terminal.size
            self._terminal.draw(view(self.state, width, height))
            await self._redraw.wait()

    async def _keep_reading(self) -> None:
        while True:
            self._refresh.clear()
            await self._read()
            self._redraw.set()
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._refresh.wait()
            except TimeoutError:
                continue

    async def _read(self) -> None:
        wanted = self.state.wanted_book()
        try:
            if wanted is None:
                self.state = changed(self.state, status=await self._read_status(), error=None)
                return
            book = await self._read_book(wanted)
        except FleetError as error:
            self.state = changed(self.state, error=str(error))
        except Exception as error:  # noqa: BLE001 - a bug in one refresh must not take the screen away; it is shown
            self.state = changed(self.state, error=f"unexpected {type(error).__name__}: {error}")
        else:
            if self.state.wanted_book() == wanted:  # the operator may have moved on meanwhile
                self.state = changed(self.state, book=book, error=None)

    def _typed(self) -> None:
        if self._escape is not None:
            self._escape.cancel()
            self._escape = None
        try:
            data = self._terminal.read()
        except OSError:
            data = b""
        if not data:
            self._quit()
            return
        self._press(self._decoder.feed(data))
        if self._decoder.waiting:
            self._escape = asyncio.get_running_loop().call_later(
                ESCAPE_WAIT_S, lambda: self._press(self._decoder.flush())
            )

    def _press(self, keys: list[str]) -> None:
        before = self.state.wanted_book()
        for key in keys:
            self.state = press(self.state, key)
        if self.state.wanted_book() != before:
            self._refresh.set()  # at once, not at the next second
        self._redraw.set()

    def _quit(self) -> None:
        self.state = changed(self.state, quit=True)
        self._redraw.set()

    def _suspend(self) -> None:
        self._terminal.leave()
        os.kill(os.getpid(), signal.SIGSTOP)  # here we stand until SIGCONT
        self._terminal.enter()
        self._redraw.set()
