"""PURE. Bytes of a terminal → names of keys. An escape sequence may come in pieces; a lone ESC is known only by silence."""

ESCAPE_WAIT_S = 0.05  # a sequence's bytes come together, also through ssh and tmux; after this ESC was a key

_SEQUENCES = {
    b"[A": "up",
    b"OA": "up",
    b"[B": "down",
    b"OB": "down",
    b"[C": "right",
    b"OC": "right",
    b"[D": "left",
    b"OD": "left",
    b"[H": "home",
    b"OH": "home",
    b"[1~": "home",
    b"[7~": "home",
    b"[F": "end",
    b"OF": "end",
    b"[4~": "end",
    b"[8~": "end",
    b"[5~": "page-up",
    b"[6~": "page-down",
}
_CONTROLS = {0x0D: "enter", 0x0A: "enter", 0x7F: "backspace", 0x08: "backspace", 0x20: "space", 0x03: "ctrl-c"}


class KeyDecoder:
    """Feed it what was read; `waiting` says that it holds an unfinished ESC, which `flush` turns into the key."""

    def __init__(self) -> None:
        self._held = b""

    @property
    def waiting(self) -> bool:
        return bool(self._held)

    def feed(self, data: bytes) -> list[str]:
        """Names of the keys that are complete. Unknown sequences and control characters are no keys."""
        data, self._held = self._held + data, b""
        keys: list[str] = []
        at = 0
        while at < len(data):
            if data[at] == 0x1B:
                length = _sequence_length(data[at + 1 :])
                if length is None:
                    self._held = data[at:]
                    break
                key = "escape" if length == 0 else _SEQUENCES.get(data[at + 1 : at + 1 + length])
                at += 1 + length
            else:
                length = _character_length(data[at])
                if at + length > len(data):
                    self._held = data[at:]
                    break
                key = _CONTROLS.get(data[at]) or _printable(data[at : at + length])
                at += length
            if key is not None:
                keys.append(key)
        return keys

    def flush(self) -> list[str]:
        """Nothing followed: a held ESC was the key. Half a sequence or half a character was noise."""
        held, self._held = self._held, b""
        return ["escape"] if held == b"\x1b" else []


def _sequence_length(rest: bytes) -> int | None:
    """Bytes after ESC that belong to it; 0: ESC stands alone; None: not all there yet."""
    if not rest:
        return None
    if rest[:1] == b"O":
        return 2 if len(rest) >= 2 else None
    if rest[:1] != b"[":
        return 0
    for i in range(1, len(rest)):
        if 0x40 <= rest[i] <= 0x7E:  # the final byte of a control sequence (ECMA-48 5.4)
            return i + 1
    return None


def _character_length(first: int) -> int:
    """Bytes of a UTF-8 character."""
    if first >= 0xF0:
        return 4
    if first >= 0xE0:
        return 3
    return 2 if first >= 0xC0 else 1


def _printable(character: bytes) -> str | None:
    text = character.decode("utf-8", errors="ignore")
    return text if text.isprintable() and text else None
