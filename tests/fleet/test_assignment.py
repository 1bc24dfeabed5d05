"""Ranking without a leader: stable, fair, and the same for everybody."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fleet.assignment import ranking, wait_before_claim_ms

members = st.lists(st.text("abcdef0123456789:", min_size=1, max_size=12), min_size=1, max_size=8, unique=True)
labels = st.text("abcXYZ/:", min_size=1, max_size=20)


@given(labels, members, st.randoms())
def test_the_order_of_the_member_list_does_not_matter(label: str, fleet: list[str], random: object) -> None:
    shuffled = list(fleet)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert ranking(label, fleet) == ranking(label, shuffled)


@given(labels, members, st.text("xyz", min_size=1))
def test_a_leaving_member_moves_nobody_else(label: str, fleet: list[str], leaver: str) -> None:
    after = ranking(label, [m for m in fleet if m != leaver])
    assert [m for m in ranking(label, {*fleet, leaver}) if m != leaver] == after


def test_first_places_are_spread_over_the_members() -> None:
    fleet = [f"host{i}:{100 + i}:abcd" for i in range(4)]
    first = Counter(ranking(f"binance:spot:P{i}/USDT", fleet)[0] for i in range(2000))
    assert all(400 < count < 600 for count in first.values())


def test_heirs_wait_a_quarter_lease_for_each_member_before_them() -> None:
    fleet = ["a", "b", "c"]
    waits = [wait_before_claim_ms("pair", member, fleet, 4000) for member in ranking("pair", fleet)]
    assert waits == [0, 1000, 2000]


def test_a_daemon_not_yet_seen_as_a_member_counts_itself() -> None:
    assert wait_before_claim_ms("pair", "me", [], 4000) == 0
