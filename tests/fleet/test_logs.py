"""fleet/logs.py."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from fleet.logs import one_line, set_up


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """The root logger as it was."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], level = before
    root.setLevel(level)


def fail() -> None:
    raise ValueError("broken\nin two lines")


def test_an_exception_at_warning_is_one_line() -> None:
    stream = io.StringIO()
    set_up("info", "text", stream=stream)
    try:
        fail()
    except ValueError:
        logging.getLogger("x").warning("retrying", exc_info=True)
    [line] = stream.getvalue().splitlines()
    assert line.endswith("warning x: retrying (ValueError: broken in two lines)")


def test_an_exception_at_error_has_its_traceback() -> None:
    stream = io.StringIO()
    set_up("info", "json", stream=stream)
    try:
        fail()
    except ValueError:
        logging.getLogger("x").exception("gave up")
    [line] = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert fields["error"] == "ValueError: broken in two lines"
    assert "in fail" in fields["trace"]
    assert (fields["level"], fields["logger"], fields["message"]) == ("error", "x", "gave up")


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_and_passwords_in_urls_never_appear(form: str) -> None:
    stream = io.StringIO()
    set_up("info", form, secrets=["t0ken", "t0ken-long"], stream=stream)
    try:
        raise OSError("redis://user:pa:ss@host/0 and mysql://:hush@db/x")
    except OSError:
        logging.getLogger("x").exception("token t0ken-long of %s", "redis://u:hush@h")
    text = stream.getvalue()
    assert not any(secret in text for secret in ("pa:ss", "hush", "t0ken", "-long"))
    assert "redis://user:***@host/0" in text


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    set_up("warning", "text", stream=stream)
    logging.getLogger("x").info("no")
    assert stream.getvalue() == ""


def test_a_group_of_exceptions_is_told_by_its_parts() -> None:
    group = ExceptionGroup("both", [ValueError("a"), ExceptionGroup("inner", [KeyError("b")])])
    assert one_line(group) == "ValueError: a; KeyError: 'b'"
    assert one_line(TimeoutError()) == "TimeoutError"
