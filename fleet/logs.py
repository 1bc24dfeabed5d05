"""Log lines: text for terminals, JSON for collectors. Secrets are scrubbed in every line, also of other libraries.

An exception at warning or below is one line (`Type: text`); its traceback comes at error and above, where someone has to
look for the cause.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/]+@", re.IGNORECASE)


def set_up(
    level: str,
    form: Literal["text", "json"],
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Make the root logger write to stderr (or `stream`) in this form. `secrets`: texts that must never appear."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter((_Json if form == "json" else _Text)(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("asyncio", "apscheduler", "httpx", "httpcore", "websockets", "asynch"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def one_line(error: BaseException) -> str:
    """`Type: text` without line breaks; a group is told by its parts."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(one_line(part) for part in error.exceptions)
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _Scrubbing(logging.Formatter):
    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        # Longest first: a secret that contains another must not leave its rest behind.
        self._secrets = sorted((secret for secret in secrets if len(secret) >= 4), key=len, reverse=True)

    def scrub(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _URL_PASSWORD.sub(r"\1:***@", text)

    @staticmethod
    def at(record: logging.LogRecord) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def error_of(self, record: logging.LogRecord) -> tuple[str, str]:
        """The exception of a record as one line, and its traceback (empty below error)."""
        if not record.exc_info or record.exc_info[1] is None:
            return "", ""
        trace = self.formatException(record.exc_info) if record.levelno >= logging.ERROR else ""
        return one_line(record.exc_info[1]), trace


class _Text(_Scrubbing):
    def format(self, record: logging.LogRecord) -> str:
        error, trace = self.error_of(record)
        line = f"{self.at(record)} {record.levelname.lower():7} {record.name}: {record.getMessage()}"
        return self.scrub(line + (f" ({error})" if error else "") + (f"\n{trace}" if trace else ""))


class _Json(_Scrubbing):
    def format(self, record: logging.LogRecord) -> str:
        error, trace = self.error_of(record)
        fields: dict[str, Any] = {
            "at": self.at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.scrub(record.getMessage()),
        }
        if error:
            fields["error"] = self.scrub(error)
        if trace:
            fields["trace"] = self.scrub(trace)
        return json.dumps(fields, ensure_ascii=False)
