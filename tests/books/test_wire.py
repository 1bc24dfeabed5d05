"""What goes into a stream comes out of it."""

import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from books.events import Bbo, Delta, Event, Mark, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from books.wire import WireError, decode, encode
from fleet.pair import Pair

texts = st.decimals(min_value=0, max_value=10**9, allow_nan=False, places=8).map(lambda d: format(d, "f"))
levels = st.dictionaries(texts, texts, max_size=8)
sequences = st.none() | st.integers(0, 2**63 - 1)
common = {
    "pair": st.builds(
        Pair, st.just("binance"), st.sampled_from(["spot", "futures"]), st.sampled_from(["BTC/USDT", "Ü/USDT"])
    ),
    "received_us": st.integers(0, 2**53),
    "venue_ms": st.none() | st.integers(0, 2**45),
    "epoch": st.integers(1, 2**53),
    "n": st.integers(1, 2**53),
    "id": st.just("1795348800100-7"),
}
events = st.one_of(
    st.builds(Snapshot, bids=levels, asks=levels, reason=st.sampled_from(SnapshotReason), sequence=sequences, **common),
    st.builds(
        Delta,
        bids=levels,
        asks=levels,
        sequence=sequences,
        first_sequence=sequences,
        previous_sequence=sequences,
        **common,
    ),
    st.builds(Reset, reason=st.sampled_from(ResetReason), **common),
    st.builds(Mark, **common),
    st.builds(Bbo, bid=texts, bid_amount=texts, ask=texts, ask_amount=texts, sequence=sequences, **common),
    st.builds(
        Trade, price=texts, amount=texts, side=st.sampled_from(["buy", "sell"]), trade_id=st.text(max_size=20), **common
    ),
)


def fields(event: Event) -> dict[bytes, bytes]:
    kind, payload = encode(event)
    return {
        b"k": event.pair.label.encode(), b"t": kind.encode(), b"n": str(event.n).encode(),
        b"e": str(event.epoch).encode(), b"d": payload,
    }  # fmt: skip


@given(events)
def test_every_event_survives_the_round_trip(event: Event) -> None:
    assert decode(event.id.encode(), fields(event)) == event


@given(events, st.data())
def test_damaged_entries_are_refused_and_nothing_else_happens(event: Event, data: st.DataObject) -> None:
    entry = fields(event)
    name = data.draw(st.sampled_from(sorted(entry)))
    entry[name] = data.draw(st.binary(max_size=40))
    with contextlib.suppress(WireError):
        decode(b"1-1", entry)


def test_another_wire_version_is_refused_by_its_number() -> None:
    entry = fields(Mark(pair=Pair("binance", "spot", "BTC/USDT"), received_us=1, n=1, epoch=1))
    entry[b"d"] = msgpack.packb([9, None, None, None, 1])
    with pytest.raises(WireError, match="wire version '9', this program reads 1"):
        decode(b"1-1", entry)
