"""The book against a plain model: dicts, sorted when asked."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from books.book import Book, difference
from books.decimals import canonical
from books.events import Delta, Reset, ResetReason, Snapshot, SnapshotReason
from fleet.pair import Pair

PAIR = Pair("somewhere", "spot", "BTC/USDT")

prices = st.integers(1, 400).map(lambda i: canonical(f"{i / 8:.4f}"))
amounts = st.integers(0, 5).map(str)
sides = st.dictionaries(prices, amounts, max_size=12)


def delta(bids: dict[str, str], asks: dict[str, str]) -> Delta:
    return Delta(pair=PAIR, received_us=1, bids=bids, asks=asks)


def snapshot(bids: dict[str, str], asks: dict[str, str]) -> Snapshot:
    return Snapshot(pair=PAIR, received_us=1, bids=bids, asks=asks, reason=SnapshotReason.FIRST)


events = st.lists(
    st.one_of(
        st.builds(delta, sides, sides),
        st.builds(delta, sides, sides),
        st.builds(snapshot, sides, sides),
        st.just(Reset(pair=PAIR, received_us=1, reason=ResetReason.GAP)),
    ),
    max_size=40,
)


@given(events)
def test_the_book_equals_a_sorted_dict_after_every_event(happenings: list[Delta | Snapshot | Reset]) -> None:
    book = Book()
    model: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for event in happenings:
        book.apply(event)
        for side, name in ((model[0], "bids"), (model[1], "asks")):
            if not isinstance(event, Delta):
                side.clear()
            if not isinstance(event, Reset):
                side.update(getattr(event, name))
            for price in [p for p, a in side.items() if a == "0"]:
                del side[price]
        bids = sorted(model[0].items(), key=lambda level: -Decimal(level[0]))
        asks = sorted(model[1].items(), key=lambda level: Decimal(level[0]))
        assert book.best_bid() == (bids[0] if bids else None)
        assert book.best_ask() == (asks[0] if asks else None)
        assert book.top(5) == (bids[:5], asks[:5])
        assert book.top() == (bids, asks)
        assert book.crossed() == bool(bids and asks and Decimal(bids[0][0]) >= Decimal(asks[0][0]))


@given(sides, sides)
def test_a_difference_turns_the_old_side_into_the_new(old: dict[str, str], new: dict[str, str]) -> None:
    book = Book()
    book.apply(snapshot(old, {}))
    book.apply(delta(difference(book.bids, new), {}))
    assert book.bids == {price: amount for price, amount in new.items() if amount != "0"}
    assert difference(book.bids, new) == {}


def test_best_prices_compare_as_numbers_not_as_text() -> None:
    book = Book()
    book.apply(snapshot({"99999.9": "1", "100000": "1"}, {"100001": "1", "99999999": "1"}))
    assert book.best_bid() == ("100000", "1")
    assert book.best_ask() == ("100001", "1")


def test_the_heap_does_not_grow_with_levels_that_come_and_go() -> None:
    book = Book()
    for i in range(20_000):
        price = str(1000 + i % 500)
        book.apply(delta({price: "1"}, {}))
        book.apply(delta({price: "0"}, {}))
    assert len(book._bids._heap) < 100


def test_the_heap_of_a_market_that_wanders_stays_near_its_levels() -> None:
    book = Book()
    book.apply(snapshot({}, {str(price): "1" for price in range(1000, 1200)}))
    for price in range(1000, 21_000):
        book.apply(delta({}, {str(price): "0", str(price + 200): "1"}))
        assert book._asks._heap[0][1] in book._asks._ranked
        assert len(book._asks._heap) == len(book._asks._ranked) <= 200 + 200 // 4 + 65
    assert book.best_ask() == ("21000", "1")


def test_deleting_an_unknown_level_changes_nothing() -> None:
    book = Book()
    book.apply(snapshot({"1": "1"}, {"2": "1"}))
    book.apply(delta({"0.5": "0"}, {"3": "0"}))
    assert book.top() == ([("1", "1")], [("2", "1")])
