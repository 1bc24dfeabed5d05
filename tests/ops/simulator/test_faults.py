"""What the misbehaviours make of outgoing messages."""

from ops.simulator.faults import Faults, Misbehaviour

PAIR, OTHER = "BTC/USDT", "ETH/USDT"


def send(faults: Faults, payload: bytes, *, pair: str = PAIR, is_delta: bool = True) -> tuple[bytes, ...]:
    return faults.outgoing(pair, f"{pair} deltas", payload, is_delta=is_delta)


def test_without_misbehaviours_everything_leaves() -> None:
    assert send(Faults(), b"1") == (b"1",)


def test_a_count_is_used_up() -> None:
    faults = Faults()
    one = faults.add(Misbehaviour("drop", PAIR, 2))
    assert [send(faults, b"1"), send(faults, b"2"), send(faults, b"3")] == [(), (), (b"3",)]
    assert not one.active


def test_only_deltas_of_the_pair_are_touched() -> None:
    faults = Faults()
    faults.add(Misbehaviour("duplicate", PAIR, 1))
    assert send(faults, b"1", pair=OTHER) == (b"1",)
    assert send(faults, b"2", is_delta=False) == (b"2",)
    assert send(faults, b"3") == (b"3", b"3")


def test_a_held_delta_follows_its_successor_even_after_the_end() -> None:
    faults = Faults()
    with faults.add(Misbehaviour("reorder", PAIR, 1)):
        assert send(faults, b"1") == ()
    assert send(faults, b"2") == (b"2", b"1")
    assert send(faults, b"3") == (b"3",)


def test_ending_by_name_tells_how_many_and_calls_back() -> None:
    faults, ended = Faults(), []
    for pair in (PAIR, OTHER):
        faults.add(Misbehaviour("stall", pair, on_end=lambda pair=pair: ended.append(pair)))
    assert faults.end("stall", PAIR) == 1
    assert ended == [PAIR]
    assert faults.find("stall", OTHER) is not None
    assert faults.end("stall") == 1
    assert faults.end("stall") == 0


def test_a_delta_that_waits_behind_its_successor_never_leaves_on_another_pairs_stream() -> None:
    faults = Faults()
    faults.add(Misbehaviour("reorder", "A/USDT", 1))
    assert faults.outgoing("A/USDT", "books", b"a1", is_delta=True) == ()
    assert faults.outgoing("B/USDT", "books", b"b1", is_delta=True) == (b"b1",)
    assert faults.outgoing("A/USDT", "books", b"a2", is_delta=True) == (b"a2", b"a1")
