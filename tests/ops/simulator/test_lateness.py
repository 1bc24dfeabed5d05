"""What a simulated venue reads behind a stall of its own is known as read late."""

from ops.simulator.lateness import BEHIND_MS, STALL_MS, Lateness


def test_a_loop_that_turns_in_time_reads_in_time() -> None:
    loop = Lateness()
    assert not loop.late(5.0)
    for now_ms in range(0, 200, 20):
        loop.turned(now_ms)
        assert not loop.late(now_ms + 19)


def test_what_is_read_in_a_stall_and_right_behind_it_is_late() -> None:
    loop = Lateness()
    loop.turned(0.0)
    after_ms = STALL_MS + 1
    assert loop.late(after_ms)  # read before the pump had its turn
    loop.turned(after_ms)
    while (after_ms := after_ms + 20) <= STALL_MS + 1 + BEHIND_MS:
        loop.turned(after_ms)
        assert loop.late(after_ms)  # it may follow one that was read late too closely
    loop.turned(after_ms)
    assert not loop.late(after_ms)
