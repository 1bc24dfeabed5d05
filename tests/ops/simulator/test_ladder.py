"""A ladder against a sorted dict."""

from hypothesis import given
from hypothesis import strategies as st

from ops.simulator.ladder import Ladder


@given(st.booleans(), st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), min_size=1))
def test_a_ladder_is_a_sorted_dict(is_bid: bool, changes: list[tuple[int, int]]) -> None:
    ladder, model = Ladder(is_bid=is_bid), {}
    for price, lots in changes:
        ladder.put(price, lots)
        model[price] = lots
    expected = sorted(((p, q) for p, q in model.items() if q), reverse=is_bid)
    assert ladder.top(len(ladder)) == expected
    assert ladder.top(3) == expected[:3]
    if expected:
        assert (ladder.best, ladder.farthest) == (expected[0][0], expected[-1][0])
        assert [ladder.at_rank(rank) for rank in range(len(ladder))] == [price for price, _ in expected]
