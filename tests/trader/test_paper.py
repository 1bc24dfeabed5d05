"""The paper venue's fills."""

from decimal import Decimal

from tests.support.trading import D, View, order
from trader.orders import Side
from trader.paper import PaperTerms, PaperVenue


def venue(**terms: object) -> PaperVenue:
    return PaperVenue(PaperTerms(**{"maker_bps": 2, "taker_bps": 5, "latency_ms": 0} | terms))  # type: ignore[arg-type]


def filled(found) -> list[tuple[Decimal, Decimal]]:
    return [(one.price, one.amount) for one in found]


def test_a_resting_order_waits_until_the_opposite_best_touches_it() -> None:
    paper = venue()
    paper.place(order(price=D(100), amount=D(1)))
    assert paper.look(View().show({"100.5": "9"}, {"101": "9"}).book, 1) == []
    [fill] = paper.look(View().show({"99": "9"}, {"100": "9"}).book, 2)
    assert (fill.price, fill.amount, fill.side, fill.executed_us) == (100, 1, Side.BUY, 2)
    assert fill.commission == D(100) * 2 / 10_000
    assert fill.commission_asset == "USDT"
    assert paper.look(View().show({"99": "9"}, {"100": "9"}).book, 3) == []


def test_a_resting_order_gets_its_own_price_when_the_market_trades_through() -> None:
    paper = venue()
    paper.place(order(side=Side.SELL, price=D(100)))
    paper.look(View().around(90).book, 1)
    assert filled(paper.look(View().around(110).book, 2)) == [(100, 1)]


def test_a_crossing_order_takes_the_shown_levels_best_first_and_pays_as_taker() -> None:
    paper = venue()
    paper.place(order(price=D(102), amount=D(3)))
    found = paper.look(View().show({"99": "1"}, {"101": "1", "100": "1", "103": "9"}).book, 1)
    assert filled(found) == [(100, 1), (101, 1)]
    assert found[0].commission == D(100) * 5 / 10_000
    assert [one.trade_id for one in found] == ["c1-1", "c1-2"]
    # what is left rests at its own price
    assert filled(paper.look(View().show({"99": "1"}, {"101.5": "9"}).book, 2)) == [(102, 1)]


def test_an_amount_shown_once_is_taken_once() -> None:
    paper = venue()
    book = View().show({"99": "1"}, {"100": "2"}).book
    paper.place(order(client_id="a", price=D(100), amount=D(3)))
    assert filled(paper.look(book, 1)) == [(100, 2)]
    assert paper.look(book, 2) == []
    assert filled(paper.look(View().show({"99": "1"}, {"100": "5"}).book, 3)) == [(100, 1)]


def test_the_better_price_is_served_first_then_the_older_order() -> None:
    paper = venue()
    for name, price in (("late", 100), ("later", 100), ("better", 101)):
        paper.place(order(client_id=name, price=D(price), amount=D(1)))
    found = paper.look(View().show({"98": "1"}, {"99": "2"}).book, 1)
    assert [one.client_id for one in found] == ["better", "late"]


def test_an_order_works_only_after_the_latency() -> None:
    paper = venue(latency_ms=20)
    paper.place(order(price=D(100), placed_us=1_000_000))
    book = View().show({"99": "1"}, {"100": "1"}).book
    assert paper.look(book, 1_019_999) == []
    assert len(paper.look(book, 1_020_000)) == 1


def test_a_cancelled_order_is_filled_no_more() -> None:
    paper = venue()
    paper.place(order(price=D(100)))
    assert paper.cancel("c1")
    assert not paper.cancel("c1")
    assert paper.look(View().show({"99": "1"}, {"100": "1"}).book, 1) == []


def test_an_empty_side_fills_nothing() -> None:
    paper = venue()
    paper.place(order(price=D(100)))
    assert paper.look(View().show({"99": "1"}, {}).book, 1) == []


def test_an_order_placed_again_after_a_restart_goes_on_with_the_names_of_its_trades() -> None:
    paper = venue()
    paper.place(order(amount=D(3), filled=D(1)), fills=1)
    [fill] = paper.look(View().show({"99": "1"}, {"99.5": "9"}).book, 1)
    assert (fill.trade_id, fill.amount, fill.price) == ("c1-2", 2, 100)


def test_amounts_finer_than_money_are_left() -> None:
    paper = venue()
    paper.place(order(price=D(100)))
    book = View().show({"99": "1"}, {"99.5": "0.0000000000000000001", "100": "0.5000000000000000009"}).book
    assert filled(paper.look(book, 1)) == [(100, D("0.5"))]


def test_the_same_books_and_times_give_the_same_fills() -> None:
    def run() -> list[object]:
        paper, found = venue(), []
        for number in range(5):
            paper.place(order(client_id=f"c{number}", price=D(100 + number), amount=D(2)))
        for price in (104, 102, 100, 99):
            found += paper.look(View().around(price, "3").book, price)
        return found

    assert run() == run()
    assert run()
