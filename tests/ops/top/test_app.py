"""`fleet top` in a real pseudo-terminal."""

import contextlib
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from fcntl import ioctl

import pytest

from tests.support.commands import FLEET, REPOSITORY, clean_environment
from tests.support.small_fleet import BTC, small_fleet

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"

END_S = 60.0  # on a starved machine


class Window:
    """A terminal with `fleet top` in it."""

    def __init__(self, redis_url: str, columns: int = 80, lines: int = 24) -> None:
        self.ours, self.theirs = pty.openpty()
        os.set_blocking(self.ours, False)
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.theirs)
        environment = clean_environment() | {"FLEET_REDIS_URL": redis_url, "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [*FLEET, "top"], cwd=REPOSITORY, env=environment, stdin=self.theirs, stdout=self.theirs,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.written = ""

    def resize(self, columns: int, lines: int) -> None:
        ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def read(self) -> str:
        """Everything drawn so far."""
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(self.ours, 65536):
                self.written += data.decode(errors="replace")
        return self.written

    def last(self) -> str:
        """The text of the last whole screen."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.read().split("\x1b[H")[-1])

    def ended(self) -> bool:
        self.read()  # a full terminal would hold the program up
        return self.process.poll() is not None

    def stands_still(self) -> bool:
        """SIGSTOP has arrived: what continues it may be sent."""
        state = subprocess.run(["ps", "-o", "state=", "-p", str(self.process.pid)], capture_output=True, text=True)
        return state.stdout.strip().startswith("T")

    def restored(self) -> bool:
        """The alternate screen was left, the cursor is back, and the terminal's modes are as before."""
        return self.read().endswith("\x1b[?25h" + LEAVE) and termios.tcgetattr(self.theirs) == self.before


@pytest.fixture
def window(redis_url: str) -> Iterator[Window]:
    opened = Window(redis_url)
    yield opened
    if opened.process.poll() is None:
        opened.process.kill()
    opened.process.communicate(timeout=10)
    os.close(opened.ours)
    os.close(opened.theirs)


async def test_books_are_looked_into_and_q_gives_the_terminal_back(window, redis_url, wait_until):
    async with small_fleet(redis_url) as fleet:
        await fleet.make_live(BTC)
        await fleet.beat(fleet.members[0])
        await wait_until(lambda: "binance spot BTC/USDT" in window.last(), "the pair on the screen")
        assert ENTER in window.read()
        window.press("\r")
        await wait_until(lambda: "spread 0.1" in window.last(), "the ladder")
        window.press("\x1b")
        await wait_until(lambda: "1 of 1 pairs live" in window.last() and "OWN" in window.last(), "the list again")
        window.press("q")
        await wait_until(window.ended, "the end after q", END_S)
    assert window.process.returncode == 0
    assert window.restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_it_and_gives_the_terminal_back(window, wait_until, number):
    await wait_until(lambda: "no daemon is running" in window.last(), "the first screen")
    window.process.send_signal(number)
    await wait_until(window.ended, "the end after the signal")
    assert window.process.returncode == 0
    assert window.restored()


async def test_another_size_is_drawn_at_once(window, wait_until):
    await wait_until(lambda: "q quit" in window.last(), "the first screen")
    window.resize(120, 40)
    window.process.send_signal(signal.SIGWINCH)  # no shell here that would pass it on
    await wait_until(lambda: len(window.last().split("\n")) == 40, "a screen of 40 lines")


async def test_it_lives_through_an_outage_of_redis(own_redis, wait_until):
    server = await own_redis()
    window = Window(server.url)
    try:
        await wait_until(lambda: "no daemon is running" in window.last(), "the first screen")
        await server.kill()
        await wait_until(lambda: "Trying again every second" in window.last(), "the error page")
        window.press("?")
        await wait_until(lambda: "WHAT IT DOES" in window.last(), "keys work during the outage")
        window.press("?")
        await server.restart()
        await wait_until(lambda: "no daemon is running" in window.last(), "the fleet again")
        window.press("q")
        await wait_until(window.ended, "the end after q", END_S)
    finally:
        if window.process.poll() is None:
            window.process.kill()
        window.process.communicate(timeout=10)
    assert window.restored()
    os.close(window.ours)
    os.close(window.theirs)


async def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(window, wait_until):
    await wait_until(lambda: "q quit" in window.last(), "the first screen")
    window.process.send_signal(signal.SIGTSTP)
    await wait_until(lambda: window.restored(), "the terminal as before")
    await wait_until(window.stands_still, "it to stand still")
    window.process.send_signal(signal.SIGCONT)
    await wait_until(lambda: window.read().rfind(ENTER) > window.read().rfind(LEAVE), "the screen taken again")
    window.press("q")
    await wait_until(window.ended, "the end after q", END_S)
    assert window.restored()
