"""What a pair's entries in the stream say together: the chain of n and epochs, and the book at any n."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from books.book import Book
from books.events import Delta, Event, Reset, Snapshot
from books.loaded import LoadedBook

Sides = tuple[dict[str, str], dict[str, str]]


def assert_unbroken(entries: Sequence[Event]) -> None:
    """n goes up by one, the epoch never falls: nobody wrote late, nothing is missing or twice."""
    assert entries
    for before, after in pairwise(entries):
        where = f"{after.pair}: n={before.n} epoch={before.epoch}, then n={after.n} epoch={after.epoch}"
        assert after.n == before.n + 1, where
        assert after.epoch >= before.epoch, where


def epochs(entries: Iterable[Event]) -> list[int]:
    """The epochs in the order of their first entry."""
    return list(dict.fromkeys(entry.epoch for entry in entries))


def resets(entries: Iterable[Event], after_n: int = 0) -> list[str]:
    """The reasons of the Resets above an n."""
    return [entry.reason.value for entry in entries if isinstance(entry, Reset) and entry.n > after_n]


def books_by_n(entries: Iterable[Event], asked: Iterable[int]) -> dict[int, Sides | None]:
    """The book after entry n, for every n asked for; None where there was none (after a Reset)."""
    wanted, book, whole = set(asked), Book(), False
    found: dict[int, Sides | None] = {}
    for entry in entries:
        if isinstance(entry, Snapshot | Delta | Reset):
            book.apply(entry)
            whole = isinstance(entry, Snapshot) or (whole and isinstance(entry, Delta))
        if entry.n in wanted:
            found[entry.n] = (dict(book.bids), dict(book.asks)) if whole else None
    return found


def assert_were_true(seen: Sequence[LoadedBook], entries: Sequence[Event]) -> None:
    """Every book that was seen live is the one that the stream gives at its n."""
    rebuilt = books_by_n(entries, (book.n for book in seen))
    for book in seen:
        assert book.live
        assert rebuilt.get(book.n) == (dict(book.bids), dict(book.asks)), f"{book.pair} at n={book.n}"
