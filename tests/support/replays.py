"""Replays of recorded venue messages, for several test modules."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from books.events import Event
from feeds.recorded_venue import RawInstruments
from feeds.recording import Recorded
from feeds.replay import Replay, Replayed, load
from feeds.venues import history

BTC = "binance/spot/btcusdt_20240808_stream_with_snapshot.jsonl"
ETH = "binance/futures/ethusdt_20240808_stream_with_snapshot.jsonl"


def snapshot_files(recorded: Path, file: str) -> dict[str, Path]:
    """`cf…_rest_depth_SYMBOL.jsonl` or `…_rest_level2_…` beside a session."""
    stem = Path(file).name.partition("_session_ws")[0]
    if stem == Path(file).name:
        return {}
    folder = (recorded / file).parent
    found = sorted([*folder.glob(f"{stem}_rest_depth_*.jsonl"), *folder.glob(f"{stem}_rest_level2_*.jsonl")])
    return {path.stem.rpartition("_")[2]: path for path in found}


def venue_of(file: str) -> tuple[str, str]:
    venue, market, _ = file.split("/", 2)
    return venue, "futures" if market == "mixed" else market


@cache
def replayed(recorded: Path, file: str) -> tuple[Replayed, list[Event]]:
    """A whole recording, once a run: results are read by several tests and changed by none."""
    replay = load(*venue_of(file), recorded / file, snapshot_files(recorded, file), None)
    events: list[Event] = []
    replay.on_event = events.append
    return replay.run(), events


def replay_of(
    venue: str, market: str, frames: list[bytes], snapshots: dict[str, list[Recorded]] | None = None
) -> Replay:
    known = history(venue, market)
    messages = [Recorded(frame, None) for frame in frames]
    verifier = None if known.verifier is None else known.verifier()
    return Replay(known.venue, RawInstruments(known.venue), messages, snapshots, verifier)


def other_files(recorded: Path) -> Iterator[str]:
    for venue in ("binance", "okx"):
        for path in sorted((recorded / venue).glob("*/*.jsonl")):
            yield str(path.relative_to(recorded))
