"""What commands print: JSON for programs, tables for people. A reader that has gone away ends the command quietly."""

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import typer

PIPE_COLUMNS = 400  # nothing of ours is wider

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def line(text: str) -> None:
    """One line on stdout, at once. When nobody reads any more (`| head`), the command ends with 0."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _mute()
        raise typer.Exit(0) from None


def print_json(value: Any) -> None:
    """One JSON document on one line, and nothing else on stdout."""
    line(json.dumps(value, ensure_ascii=False))


def console() -> "Console":
    """Where tables go: colours and the width of a terminal; in a pipe plain text, as wide as it comes."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)


def show(what: "RenderableType") -> None:
    """Print a table or text for people."""
    drawn = console()
    with drawn.capture() as captured:
        drawn.print(what)
    text = captured.get().rstrip("\n")
    # tables pad their cells: noise in a file or a pipe
    line(text if sys.stdout.isatty() else "\n".join(row.rstrip() for row in text.splitlines()))


def note(text: str) -> None:
    """A remark for people that is no error: stderr, so that stdout stays what it is."""
    print(f"fleet: {text}", file=sys.stderr)


def _mute() -> None:
    # the interpreter flushes stdout once more at exit: let that go nowhere instead of failing
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
