"""The Lua verbs as files: text, digest, and the header that says what they take. Read once, at import of fleet.scripts."""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

_ARGUMENT = re.compile(r"^-- (KEYS|ARGV)\[(\d+)(\.\.)?\] (\w+) ", re.MULTILINE)


class HeaderMismatchError(RuntimeError):
    """A Lua file and its signature in fleet.scripts have drifted apart: a fault of this installation."""


@dataclass(frozen=True)
class Script:
    """A verb. `sha` is what EVALSHA takes."""

    name: str
    text: str
    sha: bytes


def load_script(name: str, keys: tuple[str, ...], args: tuple[str, ...]) -> Script:
    """Read lua/NAME.lua and compare its header with the signature. A name that ends with `*` repeats (the last one).

    Raises HeaderMismatchError.
    """
    text = files("lua").joinpath(f"{name}.lua").read_text(encoding="utf-8")
    for kind, expected in (("KEYS", keys), ("ARGV", args)):
        seen = header_names(text, kind)
        if seen != expected:
            raise HeaderMismatchError(
                f"lua/{name}.lua says {kind} {', '.join(seen)}; fleet.scripts gives {', '.join(expected)}"
            )
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode())


def header_names(text: str, kind: str) -> tuple[str, ...]:
    """The names after `-- KEYS[i]` or `-- ARGV[i]`, in order; `[i..]` gives `name*`. Raises HeaderMismatchError."""
    names: list[str] = []
    for found_kind, number, repeats, name in _ARGUMENT.findall(text):
        if found_kind != kind:
            continue
        if int(number) != len(names) + 1 or (names and names[-1].endswith("*")):
            raise HeaderMismatchError(f"{kind}[{number}] {name}: out of order in the header")
        names.append(f"{name}*" if repeats else name)
    return tuple(names)
