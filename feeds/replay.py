"""Replay a file of recorded venue messages through the very session that serves live.

    python -m feeds.replay VENUE MARKET FILE [--snapshot PAIR=FILE …] [--instruments FILE] [--json]

The recording stands in for the venue (`feeds.recorded_venue`), so nobody can be asked: every topic counts as acknowledged,
a book that lost its chain waits for the next snapshot of the file, and time stands still (silence and deadlines are no
property of a file). A line that is an answer of REST belongs to the only pair of the file; those of `--snapshot` files are
fed at their receive time where `.recv` files stand beside both, else first.

The answer: frames (lines), events given out, frames that could not be read, frames refused (channels, versions and symbols
that are not used, with `refused_reasons`), gaps, checksum failures, crossed books, and the books at the end. Exit code 0
whatever the books are like; 2 for arguments and files that cannot be right.
"""

import argparse
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from books.book import Level
from books.events import Event
from feeds.outputs import Fetch, Output, PairFault, Sample, is_event
from feeds.recorded_venue import ALL_ACKNOWLEDGED, DELTAS, ROUTE, BookTopic, Contents, RawInstruments, RecordedVenue
from feeds.recording import Recorded, read_file, read_recording
from feeds.session import Session
from feeds.venue import Instrument, Instruments, Undecodable, Venue
from feeds.venues import Verifier, history
from fleet.errors import ConfigError, FleetError
from fleet.pair import Pair

SHOWN: Final = 20  # levels a side
CHANNELS: Final = frozenset({"book", "bbo", "trades"})
_NOW_MS: Final = 0.0


class ReplayedPair(msgspec.Struct, frozen=True):
    """A book at the end of the file; empty and without a sequence if it could not be trusted then."""

    sequence: int | None
    bids: list[Level]
    asks: list[Level]
    live: bool
    gaps: int


class Replayed(msgspec.Struct, frozen=True):
    """What a replay found."""

    frames: int
    events: int
    undecodable: int
    refused: int
    gaps: int
    checksum_failures: int
    crossed: int
    pairs: dict[str, ReplayedPair]
    checksums_verified: int
    answers: int
    refused_reasons: dict[str, int]
    undecodable_reasons: list[str]  # of the first ones


class Replay:
    """One recording on its way through a session."""

    def __init__(
        self,
        venue: Venue,
        instruments: Instruments,
        messages: Sequence[Recorded],
        snapshots: Mapping[str, Sequence[Recorded]] | None = None,
        verifier: Verifier | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """`snapshots`: pair (or venue symbol) → answers of REST. Raises ConfigError for a pair that cannot be."""
        self.on_event = on_event
        self._messages = messages
        self._instruments = instruments
        self._verifier = verifier
        self._contents = Contents(venue, instruments, (message.frame for message in messages))
        books = self._contents.book_topics()
        self._due = self._schedule(venue, snapshots or {}, books)
        self._only = next(iter(books)) if len(books) == 1 else None
        self.venue = RecordedVenue(venue, books)
        self.session = Session(self.venue, instruments, ROUTE, random.Random(0))
        self.events = 0
        self.undecodable_reasons: list[str] = []
        self._fetches: dict[Pair, Fetch] = {}
        for pair in sorted(self._contents.pairs.keys() | books.keys()):
            depth = books[pair].depth if pair in books else DELTAS
            self._take(self.session.add(self._instrument(pair), depth, CHANNELS, 0, _NOW_MS))

    def _instrument(self, pair: Pair) -> Instrument:
        """With metadata a pair is BASE/QUOTE, without it the venue's symbol. Both are accepted. Raises ConfigError."""
        found = self._instruments.by_pair.get(pair) or self._instruments.find(pair.pair)
        if found is None:
            reason = self._instruments.refused.get(pair.pair, "not among the instruments")
            raise ConfigError(f"pair {pair.pair}: {reason}")
        return found

    def _schedule(
        self, venue: Venue, snapshots: Mapping[str, Sequence[Recorded]], books: dict[Pair, BookTopic]
    ) -> dict[int, list[tuple[Pair, Recorded]]]:
        """Index of a message → snapshots that came before it. A pair that has only snapshots is a book too."""
        due: dict[int, list[tuple[Pair, Recorded]]] = {}
        for name, answers in snapshots.items():
            pair = self._instrument(Pair(venue.name, venue.market, name)).pair
            books.setdefault(pair, BookTopic(f"snapshots of {name}", DELTAS))
            for answer in answers:
                due.setdefault(self._index_at(answer.received_us), []).append((pair, answer))
        return due

    def _index_at(self, received_us: int | None) -> int:
        if received_us is None:
            return 0
        for index, message in enumerate(self._messages):
            if message.received_us is None:
                return 0
            if message.received_us >= received_us:
                return index
        return len(self._messages)

    def run(self) -> Replayed:
        """Replay everything, once."""
        session = self.session
        self._take(session.opened(_NOW_MS))
        self._take(session.receive(ALL_ACKNOWLEDGED, 0, _NOW_MS))
        for index, message in enumerate(self._messages):
            for pair, answer in self._due.get(index, ()):
                self._snapshot(pair, answer)
            if index in self._contents.snapshot_lines:
                self._inline_snapshot(message)
                continue
            if self._verifier is not None:
                self._verifier.check(message.frame)
            self._take(session.receive(message.frame, message.received_us or 0, _NOW_MS))
        for pair, answer in self._due.get(len(self._messages), ()):
            self._snapshot(pair, answer)
        return self._result()

    def _inline_snapshot(self, message: Recorded) -> None:
        if self._only is None:
            self.venue.refuse("snapshot that names no symbol, in a file that has not exactly one book")
        else:
            self._snapshot(self._only, message)

    def _snapshot(self, pair: Pair, answer: Recorded) -> None:
        """Answer the session's request, if it has one."""
        received_us = answer.received_us or 0
        fetch = self._fetches.pop(pair, None)
        if fetch is not None:
            self._take(self.session.snapshot(fetch, answer.frame, received_us, _NOW_MS))
            return
        # asked later, live: time stands still here, so the book is given at once what it would be given then
        out: list[Output] = []
        try:
            snapshot = self.venue.parse_snapshot(answer.frame, self._instrument(pair), received_us)
        except Undecodable as error:
            self.session.unread.take(answer.frame, str(error), _NOW_MS, out)
            self._take(out)
            return
        self.session.feeds[pair].fetched(snapshot, _NOW_MS, out)
        self._take(out)

    def _take(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            if is_event(output):
                self.events += 1
                if self.on_event is not None:
                    self.on_event(output)
            elif isinstance(output, Fetch):
                self._fetches[output.pair] = output
            elif isinstance(output, Sample):
                self.undecodable_reasons.append(output.reason)
            elif isinstance(output, PairFault) and output.error is not None:
                raise output.error  # nobody is served here: a fault of our own is to be seen

    def _result(self) -> Replayed:
        session, verifier = self.session, self._verifier
        pairs = {}
        for pair, feed in session.feeds.items():
            bids, asks = feed.book.top(SHOWN)
            pairs[pair.pair] = ReplayedPair(feed.sequence, bids, asks, feed.live, feed.gaps)
        return Replayed(
            frames=len(self._messages),
            events=self.events,
            undecodable=session.undecodable,
            refused=self.venue.refused,
            gaps=sum(feed.gaps for feed in session.feeds.values()),
            checksum_failures=0 if verifier is None else verifier.failures,
            crossed=sum(feed.crossed for feed in session.feeds.values()),
            pairs=pairs,
            checksums_verified=0 if verifier is None else verifier.verified,
            answers=self.venue.answers,
            refused_reasons=dict(self.venue.reasons.most_common()),
            undecodable_reasons=self.undecodable_reasons,
        )


def load_instruments(venue: Venue, path: Path) -> Instruments:
    """Metadata as the venue's REST answered it: the whole file, or one answer a line. Raises ConfigError."""
    body = read_file(path)
    try:
        return venue.parse_instruments([body])
    except Undecodable as whole:
        lines = [line for line in body.split(b"\n") if line.strip()]
        try:
            return venue.parse_instruments(lines)
        except Undecodable:
            raise ConfigError(f"{path}: {whole}") from whole


def load(
    venue_name: str, market: str, file: Path, snapshots: Mapping[str, Path], instruments_file: Path | None
) -> Replay:
    """Read the files of a replay. Raises ConfigError for names and files that cannot be right."""
    venue, new_verifier = history(venue_name, market)
    instruments = RawInstruments(venue) if instruments_file is None else load_instruments(venue, instruments_file)
    return Replay(
        venue,
        instruments,
        read_recording(file),
        {pair: read_recording(path) for pair, path in snapshots.items()},
        None if new_verifier is None else new_verifier(),
    )


# --- command line -------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see --help)")


def _pair_file(text: str) -> tuple[str, Path]:
    pair, equals, path = text.partition("=")
    if not (pair and equals and path):
        raise argparse.ArgumentTypeError(f"expected PAIR=FILE, got {text!r}")
    return pair, Path(path)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m feeds.replay", description="Replay recorded venue messages.")
    parser.add_argument("venue", metavar="VENUE")
    parser.add_argument("market", metavar="MARKET", help="spot or futures")
    parser.add_argument("file", metavar="FILE", type=Path, help="one message a line")
    parser.add_argument(
        "--snapshot",
        metavar="PAIR=FILE",
        type=_pair_file,
        action="append",
        default=[],
        help="answers of REST for a pair whose book starts with one; may be repeated",
    )
    parser.add_argument("--instruments", metavar="FILE", type=Path, help="the venue's metadata; without it all is raw")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    return parser.parse_args(argv)


def _text(result: Replayed) -> str:
    lines = [
        (
            f"{result.frames} frames, {result.events} events, {result.undecodable} undecodable, {result.refused} refused, "
            f"{result.gaps} gaps, {result.crossed} crossed, {result.checksum_failures} of {result.checksums_verified} "
            "checksums wrong"
        )
    ]
    for name, pair in result.pairs.items():
        best = " / ".join(f"{side[0][0]} × {side[0][1]}" if side else "none" for side in (pair.bids, pair.asks))
        lines.append(f"{name}: {best if pair.live else 'not live'}, sequence {pair.sequence}, {pair.gaps} gaps")
    lines += [f"refused {count}: {reason}" for reason, count in result.refused_reasons.items()]
    lines += [f"undecodable: {reason}" for reason in result.undecodable_reasons]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 when the file was replayed, whatever was in it; errors are one line on stderr."""
    try:
        arguments = _arguments(argv)
        result = load(
            arguments.venue, arguments.market, arguments.file, dict(arguments.snapshot), arguments.instruments
        ).run()
    except FleetError as error:
        print(f"feeds.replay: {error}", file=sys.stderr)
        return error.exit_code
    print(msgspec.json.encode(result).decode() if arguments.json else _text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
