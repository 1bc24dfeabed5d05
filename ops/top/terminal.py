"""The terminal of `fleet top`: raw keys in, whole screens out, and everything as it was at the end, whatever the end."""

import os
import sys
import termios
import tty
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.screen import Screen

from fleet.errors import ConfigError

_ENTER = "\x1b[?1049h\x1b[?25l"  # the alternate screen, cursor hidden
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME = "\x1b[H"


class Terminal:
    """`with Terminal() as terminal:`; between enter and leave keys come unbuffered and unechoed.

    Raises ConfigError where there is no terminal. Ctrl-C, Ctrl-Z and window changes stay signals.
    """

    def __init__(self) -> None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise ConfigError(
                "fleet top needs a terminal on stdin and stdout; for pipes there is `fleet status --json`"
            )
        self.console = Console(highlight=False)
        if self.console.is_dumb_terminal:
            raise ConfigError(
                "fleet top cannot draw on TERM=dumb; use `fleet status`, or set TERM to what the terminal is"
            )
        self.keys = sys.stdin.fileno()
        self._before = termios.tcgetattr(self.keys)
        self._entered = False

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def enter(self) -> None:
        """Take the terminal over; also after a stop (Ctrl-Z) went on."""
        self._entered = True
        tty.setcbreak(self.keys)
        self._write(_ENTER)

    def leave(self) -> None:
        """Give the terminal back as it was found. Safe to repeat, and when the terminal has gone."""
        if not self._entered:
            return
        self._entered = False
        try:
            self._write(_LEAVE)
            termios.tcsetattr(self.keys, termios.TCSADRAIN, self._before)
        except (OSError, termios.error):
            pass  # the window was closed: there is nothing to give back

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
        return max(columns, 20), max(lines, 6)

    def draw(self, what: RenderableType) -> None:
        """Replace the whole screen. One write: no flicker, and never half a screen."""
        width, height = self.size
        self.console.size = (width, height)
        with self.console.capture() as captured:
            self.console.print(Screen(what), end="")
        self._write(_HOME + captured.get())

    def read(self) -> bytes:
        """What was typed; empty at the end of the terminal."""
        return os.read(self.keys, 1024)

    def _write(self, text: str) -> None:
        data = text.encode()
        while data:
            data = data[os.write(sys.stdout.fileno(), data) :]
