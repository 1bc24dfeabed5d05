"""Batches are cut by weight, and a token names exactly the rows that go with it."""

from books.events import Delta, Mark
from fleet.pair import Pair
from monitor.batch import MAX_ENTRIES, MAX_WEIGHT, Batch
from monitor.rows import Noted, prepare

BTC = Pair("binance", "spot", "BTC/USDT")
RECEIVED_US = 1_763_000_000_123_456


def batch_of(*ids: str, levels: int = 1) -> Batch:
    batch = Batch()
    for entry_id in ids:
        bids = {str(price): "1" for price in range(1, levels + 1)}
        delta = Delta(pair=BTC, received_us=RECEIVED_US, id=entry_id, bids=bids, asks={})
        batch.add("deltas:03", entry_id, prepare(delta, "deltas:03"))
        batch.done("deltas:{03}", entry_id)
    return batch


def test_the_same_entries_make_the_same_token():
    assert [b.token for b in batch_of("1-0", "2-0").blocks()] == [b.token for b in batch_of("1-0", "2-0").blocks()]


def test_other_entries_make_another_token():
    tokens = {batch.blocks()[0].token for batch in (batch_of("1-0", "2-0"), batch_of("1-0"), batch_of("1-0", "3-0"))}
    assert len(tokens) == 3


def test_an_id_that_comes_again_for_another_event_makes_another_token():
    tokens = set()
    for epoch in (1, 2):
        batch = Batch()
        mark = Mark(pair=BTC, received_us=RECEIVED_US, id="1-0", epoch=epoch, n=7)
        batch.add("deltas:03", "1-0", prepare(mark, "deltas:03"))
        tokens.add(batch.blocks()[0].token)
    assert len(tokens) == 2


def test_what_the_entries_show_goes_before_them():
    batch = batch_of("1-0")
    batch.finding(Noted("gap", "hole", "deltas:03", "1-0", RECEIVED_US))
    assert [block.rows.table.name for block in batch.blocks()] == ["feed_events", "orderbook_deltas"]


def test_a_tables_token_does_not_depend_on_the_rows_of_other_tables():
    plain, more = batch_of("1-0"), batch_of("1-0")
    mark = Mark(pair=BTC, received_us=RECEIVED_US, id="9-0")
    more.add("deltas:03", "9-0", prepare(mark, "deltas:03"))
    [only] = plain.blocks()
    deltas, events = more.blocks()
    assert deltas.token == only.token
    assert events.rows.table.name == "feed_events"


def test_two_notes_of_one_entry_are_two_rows():
    batch = Batch()
    for kind in ("gap", "fork"):
        batch.note(Noted(kind, "", "deltas:03", "1-0", RECEIVED_US))
    [block] = batch.blocks()
    assert block.rows.count == 2


def test_a_batch_is_full_by_levels_or_by_entries():
    assert not batch_of("1-0", levels=MAX_WEIGHT - 1).full
    assert batch_of("1-0", levels=MAX_WEIGHT).full
    assert batch_of(*(f"{ms}-0" for ms in range(1, MAX_ENTRIES + 1))).full


def test_entries_without_rows_are_acknowledged_too():
    batch = Batch()
    batch.done("deltas:{03}", "1-0")
    assert batch.blocks() == []
    assert batch.acknowledge == {"deltas:{03}": ["1-0"]}
