"""ops/VENUES.md: what its hand-written tables say is what the code says, for every registered venue and market."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from feeds.pair_feed import PROMISE_FACTOR, PROMISE_GRACE_MS
from feeds.venue import BookChannel, Bootstrap, Keepalive, Limits, Traits
from feeds.venues import VENUES
from fleet.pair import DEPTHS, MARKETS
from ops.architecture import ROOT
from tests.support.replays import replayed

TEXT = (ROOT / "ops" / "VENUES.md").read_text()
BY_HAND = re.sub(r"<!-- generated: .*?<!-- end -->", "", TEXT, flags=re.DOTALL)
RESYNCS = {
    Bootstrap.REST: "fetch",
    Bootstrap.REQUEST: "request",
    Bootstrap.IN_BAND: "subscribe again",
    Bootstrap.IMAGES: "next image",
}
Place = tuple[str, str]


class Table(NamedTuple):
    section: str
    head: list[str]
    rows: list[dict[str, str]]


def tables() -> Iterator[Table]:
    """The tables written by hand, with the heading they stand under."""
    for part in re.split(r"^(?=#)", BY_HAND, flags=re.MULTILINE):
        section = part.partition("\n")[0].lstrip("# ")
        for found in re.findall(r"(?:^\|.*\n)+", part, re.MULTILINE):
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()]
            head, _, *rows = cells
            yield Table(section, head, [dict(zip(head, row, strict=True)) for row in rows])


TABLES = list(tables())
BY_VENUE = [table for table in TABLES if {"venue", "market"} <= set(table.head)]


def table(section: str, *columns: str) -> Table:
    """The only one of a section that has these columns."""
    (found,) = (each for each in TABLES if each.section == section and set(columns) <= set(each.head))
    return found


def places(row: dict[str, str]) -> list[Place]:
    """The venue-markets that a row is about."""
    assert row["market"] in (*MARKETS, "both"), row
    return [(row["venue"], market) for market in MARKETS if row["market"] in (market, "both")]


def all_places(rows: list[dict[str, str]]) -> list[Place]:
    return sorted(place for row in rows for place in places(row))


def test_there_are_tables_by_venue_and_they_are_found() -> None:
    sections = [each.section for each in BY_VENUE]
    assert len(sections) >= 6
    assert {"Proof of continuity", "What is not guaranteed", "Trades", "States", "Independent clients"} <= set(sections)


@pytest.mark.parametrize("each", TABLES, ids=[f"{n}-{each.section}" for n, each in enumerate(TABLES)])
def test_every_row_has_the_cells_of_its_head_and_none_is_empty(each: Table) -> None:
    assert each.rows
    assert all(cell for row in each.rows for cell in row.values())


@pytest.mark.parametrize("section", ["What is not guaranteed", "Trades", "States", "Independent clients"])
def test_every_registered_venue_market_stands_once_in_each_table_about_all_of_them(section: str) -> None:
    assert all_places(table(section, "venue", "market").rows) == sorted(VENUES)


@pytest.mark.parametrize("each", BY_VENUE, ids=[each.section for each in BY_VENUE])
def test_no_table_names_a_venue_that_is_not_registered(each: Table) -> None:
    assert set(all_places(each.rows)) <= set(VENUES)


def test_the_page_says_what_each_venue_cannot_give() -> None:
    part = BY_HAND.partition("## What they cannot give")[2].partition("\n## ")[0]
    said = {name.lower().replace(" ", "_") for name in re.findall(r"^- ([\w ]+):", part, re.MULTILINE)}
    assert said == {venue for venue, _ in VENUES}


def test_the_rule_and_the_resync_of_every_depth_are_those_of_the_code() -> None:
    said = {}
    for row in table("Proof of continuity", "rule", "venue").rows:
        for place in places(row):
            for depth in row["depth"].split(", "):
                assert (*place, depth) not in said
                said[*place, depth] = row["rule"], row["resync"]
    known = {}
    for place, venue in VENUES.items():
        for depth in DEPTHS:
            channel = venue.book_channel(depth)
            rule = channel.rule.name if channel.proof is None else "checksum"
            known[*place, depth] = rule, RESYNCS[channel.bootstrap]
    assert said == known


def test_every_rule_and_resync_that_is_used_is_explained() -> None:
    used = table("Proof of continuity", "rule", "venue").rows
    assert {row["rule"] for row in used} == {row["rule"] for row in table("Proof of continuity", "in words").rows}
    assert {row["resync"] for row in used} == {
        row["resync"] for row in table("Proof of continuity", "what is done").rows
    }


def test_what_only_some_venues_do_is_said_of_those() -> None:
    """Sentences that name venues: a venue with that habit must stand in them."""

    def with_habit(habit: str) -> set[str]:
        return {venue.name for venue in VENUES.values() if getattr(venue.traits, habit)}

    assert with_habit("repeats_trades") == {"coinex", "htx", "hyperliquid"}
    assert "Where a subscription repeats trades (CoinEx, HTX, Hyperliquid)" in " ".join(BY_HAND.split())
    assert with_habit("off_because") == {"coinex"}
    assert {venue.name for venue in VENUES.values() if venue.limits.forbidden_ban_ms} == {"bybit"}
    assert {venue.name for venue in VENUES.values() if venue.limits.lifetime_ms} == {"binance", "mexc"}
    assert {place for place, venue in VENUES.items() if not venue.sequence_comparable} == {
        *((venue, market) for venue in ("bybit", "coinex", "hyperliquid") for market in MARKETS),
        ("htx", "futures"),
    }
    promises = {
        (venue.name, channel.speaks_every_ms)
        for venue in VENUES.values()
        for channel in map(venue.book_channel, DEPTHS)
        if channel.speaks_every_ms is not None
    }
    bounds = {name: (PROMISE_FACTOR * every_ms + PROMISE_GRACE_MS) / 1000 for name, every_ms in promises}
    assert bounds == {"hyperliquid": 12, "coinex": 80, "okx": 117.5, "bybit": 8.75}
    assert (
        "Hyperliquid's `l2Book` 12 s, CoinEx's books 80 s, OKX's books 117.5 s, Bybit's `orderbook.1` 8.75 s" in BY_HAND
    )
    silent = {venue.name for venue in VENUES.values() if venue.keepalive.text is None and not venue.keepalive.probe}
    assert silent == {"htx"}


@pytest.mark.parametrize("struct", [BookChannel, Keepalive, Limits, Traits], ids=lambda struct: struct.__name__)
def test_every_field_that_a_venue_fills_answers_a_question(struct: type[msgspec.Struct]) -> None:
    answers = " ".join(row["where the answer goes"] for row in table("A new venue", "question").rows)
    named = set(re.findall(r"`(\w+)`", answers))
    assert {field.name for field in msgspec.structs.fields(struct)} <= named


RECORDINGS = table("Recordings", "file", "frames").rows


@pytest.mark.parametrize("row", RECORDINGS, ids=[row["file"].strip("`") for row in RECORDINGS])
def test_recordings_replay_as_the_page_says(recorded: Path, row: dict[str, str]) -> None:
    result, events = replayed(recorded, row["file"].strip("`") + ".jsonl")
    said = [int(row[column].replace(",", "")) for column in ("frames", "events", "pairs")]
    assert [result.frames, result.events, len(result.pairs)] == said
    assert (result.undecodable, result.gaps, result.crossed, result.checksum_failures) == (0, 0, 0, 0)
    assert all(pair.live for pair in result.pairs.values())
    assert len(events) == result.events


def test_what_ccxt_compares_is_how_far_its_book_goes() -> None:
    from tests.ops.simulator.test_ccxt import GONE, WAYS

    for row in table("Independent clients", "levels a side compared").rows:
        for place in places(row):
            way = WAYS.get(place)
            depth = "none" if way is None else "all" if way.depth is None else str(way.depth)
            assert row["levels a side compared"] == depth, place
            assert way is None or way.mend is None or "ccxt is wrong" in row["what to know"]
        assert (row["venue"] in GONE) is (row["levels a side compared"] == "none")
