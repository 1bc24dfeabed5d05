"""Every recorded CoinEx message, replayed. There is no continuous recording: nothing of it proves a chain."""

from pathlib import Path

import pytest

from books.events import Bbo, Event, Snapshot, Trade
from feeds.recorded_venue import RawInstruments
from feeds.recording import read_recording
from feeds.replay import Replay, Replayed
from feeds.venue import BookMessage, Refusal
from feeds.venues.coinex import MARKETS

VENUES = {venue.market: venue for venue in MARKETS}
FILES = [
    f"{market}/{name}.jsonl" for market in VENUES for name in ("captured_202609", "docs_jkorf_rest", "docs_jkorf_ws")
]
PRIVATE = {"balance", "order", "stop", "user_deals"}


def replay(recorded: Path, file: str) -> tuple[Replay, Replayed, list[Event]]:
    venue = VENUES[file.partition("/")[0]]
    messages = read_recording(recorded / "coinex" / file)
    made, events = Replay(venue, RawInstruments(venue), messages), []  # type: tuple[Replay, list[Event]]
    made.on_event = events.append
    return made, made.run(), events


def test_the_list_of_files_is_complete(recorded: Path) -> None:
    assert sorted(FILES) == sorted(
        str(path.relative_to(recorded / "coinex")) for path in recorded.glob("coinex/*/*.jsonl")
    )


@pytest.mark.parametrize("file", FILES)
def test_every_message_is_known(recorded: Path, file: str) -> None:
    _, result, _ = replay(recorded, file)
    assert (result.undecodable, result.gaps, result.crossed) == (0, 0, 0)
    assert result.frames > 0


@pytest.mark.parametrize("market", VENUES)
def test_what_is_not_used_is_counted_by_name(recorded: Path, market: str) -> None:
    _, result, events = replay(recorded, f"{market}/docs_jkorf_ws.jsonl")
    private = PRIVATE | ({"position"} if market == "futures" else set())
    public = {"bbo", "index", "depth", "state", "deals"}
    expected = {f"channel: {kind}.update" for kind in private | {"index", "state"}}
    expected |= {f"request: {kind}.subscribe" for kind in private | public} | {"request: server.sign"}
    assert set(result.refused_reasons) == expected
    assert [type(event) for event in events] == [Bbo, Trade, Trade, Trade]
    assert [event.trade_id for event in events if isinstance(event, Trade)] == [
        "3514376757",
        "3514376758",
        "3514376759",
    ]


@pytest.mark.parametrize("market", VENUES)
def test_answers_of_rest_are_known_as_such(recorded: Path, market: str) -> None:
    _, result, events = replay(recorded, f"{market}/docs_jkorf_rest.jsonl")
    assert result.refused_reasons == {"answer of REST": result.frames}
    assert events == []


def test_the_empty_books_of_the_last_days_agree_with_their_checksum(recorded: Path) -> None:
    _, result, events = replay(recorded, "futures/captured_202609.jsonl")
    (snapshot,) = events
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.bids, snapshot.asks) == ({}, {})
    assert result.pairs["ETHUSDT"].live


@pytest.mark.parametrize(
    "file, symbol", [("spot/captured_202609.jsonl", "BTCUSDT"), ("spot/docs_jkorf_ws.jsonl", "ETHUSDT")]
)
def test_a_book_whose_checksum_is_not_its_own_is_never_shown(recorded: Path, file: str, symbol: str) -> None:
    """One recorded book was cut to three levels a side, the other is the documentation's, wrong since it was written."""
    made, result, events = replay(recorded, file)
    assert not result.pairs[symbol].live
    assert not any(isinstance(event, Snapshot) for event in events)
    (feed,) = made.session.feeds.values()
    assert feed.checksums == 1
    assert feed.reason.startswith("checksum: the venue's checksum is ")


def test_the_recorded_answers_of_the_venue_are_read(recorded: Path) -> None:
    venue = VENUES["spot"]
    lines = read_recording(recorded / "coinex" / "spot" / "captured_202609.jsonl")
    ack, book, pong, refusal = [venue.decode(line.frame, 0, RawInstruments(venue))[0] for line in lines]
    assert [type(message).__name__ for message in (ack, pong)] == ["Ack", "Pong"]
    assert isinstance(book, BookMessage)
    assert refusal == Refusal("8", None, "30002", "unknown method", True)
