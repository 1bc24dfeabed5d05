"""PURE. What a check found: name, verdict, detail, mend."""

from enum import StrEnum

import msgspec

from fleet.errors import FleetError


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"  # works, with less than it could; the detail says what is given up
    FAIL = "fail"


class Check(msgspec.Struct, frozen=True):
    """`mend` is what to do; empty when all is well."""

    name: str
    status: Verdict
    detail: str
    mend: str = ""


def ok(name: str, detail: str) -> Check:
    """All is well."""
    return Check(name, Verdict.OK, detail)


def warn(name: str, detail: str, mend: str) -> Check:
    """It works; `detail` says what is given up."""
    return Check(name, Verdict.WARN, detail, mend)


def fail(name: str, detail: str, mend: str) -> Check:
    """A fleet cannot work like this."""
    return Check(name, Verdict.FAIL, detail, mend)


_MENDS = (
    "run ",
    "is ",
    "are ",
    "check ",
    "may ",
    "fix ",
    "give ",
    "set ",
    "use ",
    "need ",
    "add ",
    "expected ",
    "GRANT",
)


def failed(name: str, error: FleetError) -> Check:
    """A check that ended with one of our errors: their texts end with the mend."""
    text = " ".join(str(error).split())
    for mark in ("; ", ": "):
        detail, _, mend = text.rpartition(mark)
        if detail and mend.startswith(_MENDS):
            return fail(name, detail, mend)
    return fail(name, text, "start that server, or correct what `fleet config show` prints")


def by_limits(name: str, value: float, warn_above: float, fail_above: float, detail: str, mend: str) -> Check:
    """ok up to `warn_above`, fail beyond `fail_above`."""
    if value > fail_above:
        return fail(name, detail, mend)
    return warn(name, detail, mend) if value > warn_above else ok(name, detail)
