"""PURE. The tail cell of a line: the fence and the last published point, in one text (redis-protocol.md §1)."""

from typing import NamedTuple


class Cell(NamedTuple):
    """A field of the tail hash. `sequence` is the venue's, as text; `-` when the pair cannot be continued from it."""

    token: int
    n: int
    sequence: str
    id: str

    @classmethod
    def parse(cls, text: bytes | str) -> "Cell":
        """Raises ValueError for text that is no cell."""
        parts = (text.decode() if isinstance(text, bytes) else text).split(" ")
        if len(parts) != 4:
            raise ValueError(f"tail cell {text!r}: expected `token n sequence id`")
        return cls(int(parts[0]), int(parts[1]), parts[2], parts[3])

    def __str__(self) -> str:
        return f"{self.token} {self.n} {self.sequence} {self.id}"
