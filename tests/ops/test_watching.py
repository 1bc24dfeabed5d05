"""Events as lines."""

import json

from books.events import Bbo, Delta, Mark, Reset, ResetReason, Snapshot, SnapshotReason
from fleet.pair import Pair
from ops import watching

COMMON = {"pair": Pair("okx", "spot", "A/B"), "received_us": 1_763_826_000_123_456, "venue_ms": 5, "epoch": 3, "n": 9}
KEYS = {"kind", "n", "epoch", "sequence", "bids", "asks", "venue_ms", "received_us"}


def test_a_snapshot_line_has_every_key_and_its_levels_best_first():
    event = Snapshot(
        bids={"9": "1", "10": "2"}, asks={"12": "1", "11": "2"}, sequence=7, reason=SnapshotReason.FIRST, **COMMON
    )
    line = json.loads(watching.as_json(event))
    assert line.keys() >= KEYS
    assert line["bids"] == [["10", "2"], ["9", "1"]]
    assert line["asks"] == [["11", "2"], ["12", "1"]]
    assert (line["kind"], line["n"], line["epoch"], line["sequence"], line["reason"]) == ("snapshot", 9, 3, 7, "first")


def test_every_kind_is_one_line_with_the_same_keys():
    for event in (
        Delta(bids={"10": "0"}, asks={}, sequence=8, **COMMON),
        Reset(reason=ResetReason.GAP, **COMMON),
        Mark(**COMMON),
        Bbo(bid="10", bid_amount="1", ask="", ask_amount="", sequence=None, **COMMON),
    ):
        text = watching.as_json(event)
        assert "\n" not in text
        assert json.loads(text).keys() >= KEYS
        assert "\n" not in watching.as_text(event)


def test_an_empty_side_of_a_bbo_is_an_empty_list():
    line = watching.fields(Bbo(bid="10", bid_amount="1", ask="", ask_amount="", sequence=None, **COMMON))
    assert (line["bids"], line["asks"]) == ([("10", "1")], [])


def test_text_names_what_happened():
    event = Delta(bids={"10": "0"}, asks={}, sequence=8, **COMMON)
    assert watching.as_text(event) == "15:40:00 UTC  delta     n 9  sequence 8  bids 10×0"
    assert watching.as_text(Reset(reason=ResetReason.GAP, **COMMON)) == "15:40:00 UTC  reset     n 9  gap"
