"""When silence is a fault, and how rarely it is called one."""

import random

import pytest

from feeds.rhythm import PAUSE_MOST_MS, SEEN_MESSAGES, Rhythm


def speaking(pauses_ms) -> tuple[Rhythm, float]:
    rhythm, now = Rhythm(), 0.0
    for pause in pauses_ms:
        now += pause
        rhythm.heard(now)
    return rhythm, now


def test_a_pair_that_spoke_too_little_or_too_short_has_no_rhythm():
    for pauses in ([100.0] * (SEEN_MESSAGES + 10), [2_000.0] * (SEEN_MESSAGES - 1)):
        rhythm, now = speaking(pauses)
        assert rhythm.silent_for_ms(now + 3_600_000) is None


@pytest.mark.parametrize("usual_ms, bound_ms", [(100.0, 3_000.0), (1_000.0, 5_000.0), (4_000.0, 20_000.0)])
def test_the_bound_follows_the_longest_usual_pause(usual_ms, bound_ms):
    rhythm, now = speaking([usual_ms] * 1_000)
    assert rhythm.silent_for_ms(now + bound_ms - 200) is None
    assert rhythm.silent_for_ms(now + bound_ms + 200) == pytest.approx(bound_ms + 200)


def test_a_quiet_minute_after_a_busy_one_is_no_fault():
    rhythm, now = speaking([5_000.0] * 300 + [20.0] * 3_000)
    assert rhythm.silent_for_ms(now + 12_000) is None


def test_a_pair_with_very_long_pauses_is_never_silent():
    rhythm, now = speaking([PAUSE_MOST_MS * 1.2] * 300)
    assert rhythm.silent_for_ms(now + 1e9) is None


@pytest.mark.parametrize("mean_ms", [50.0, 500.0, 3_000.0, 20_000.0])
def test_random_arrivals_hardly_ever_raise_it(mean_ms):
    rng = random.Random(11)
    rhythm, now, alarms = Rhythm(), 0.0, 0
    for _ in range(20_000):
        following = now + rng.expovariate(1 / mean_ms)
        alarms += rhythm.silent_for_ms(following) is not None
        now = following
        rhythm.heard(now)
    assert alarms == 0


def test_an_outage_is_no_pause_of_the_pair_and_an_alarm_doubles_the_bound():
    rhythm, now = speaking([100.0] * 1_000)
    rhythm.interrupted()
    rhythm.heard(now + 60_000)
    assert rhythm.usual_pause_ms < 101
    rhythm.alarmed()
    assert 190 < rhythm.usual_pause_ms < 202
    assert rhythm.last_ms is None


def test_the_rate_is_measured_over_about_ten_seconds():
    rhythm = Rhythm()
    for second in range(60):
        for _ in range(8):
            rhythm.heard(second * 1000.0)
        rhythm.measure(second * 1000.0)
    assert rhythm.rate_per_s == pytest.approx(8, rel=0.01)
    for second in range(60, 70):
        rhythm.measure(second * 1000.0)
    assert 2 < rhythm.rate_per_s < 4
