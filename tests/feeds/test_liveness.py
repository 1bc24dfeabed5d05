"""Whether a connection is alive."""

import random

from feeds.liveness import ANSWER_MS, DEAD_MS, PATIENCE_MS, PROBE_MS, PROVED_MS, Health, Liveness
from feeds.venue import Keepalive


def opened(keepalive: Keepalive | None = None, lifetime_ms: int | None = None) -> Liveness:
    liveness = Liveness(keepalive or Keepalive(None, 180_000, 600_000), lifetime_ms, random.Random(3))
    liveness.opened(0.0)
    return liveness


def test_a_quiet_connection_is_probed_and_while_an_answer_is_missing_not_again():
    liveness = opened()
    health = [liveness.health(float(ms)) for ms in range(0, int(PROBE_MS + ANSWER_MS) + 1, 100)]
    assert health.count(Health.PROBE) == 1
    assert Health.DEAD not in health


def test_a_missing_answer_is_the_proof_of_death():
    liveness = opened()
    assert liveness.health(PROBE_MS) is Health.PROBE
    assert liveness.health(PROBE_MS + ANSWER_MS) is Health.FINE
    assert liveness.health(PROBE_MS + ANSWER_MS + 1) is Health.DEAD


def test_an_answer_ends_the_waiting_and_the_next_silence_is_probed_anew():
    liveness = opened()
    assert liveness.health(PROBE_MS) is Health.PROBE
    liveness.heard_ms = PROBE_MS + 50.0
    assert liveness.health(PROBE_MS + 100.0) is Health.FINE
    assert liveness.health(2 * PROBE_MS + 49.0) is Health.FINE
    assert liveness.health(2 * PROBE_MS + 50.0) is Health.PROBE
    assert liveness.health(2 * PROBE_MS + 50.0 + ANSWER_MS + 1) is Health.DEAD


def test_a_quiet_market_that_answers_its_probes_is_never_called_dead():
    liveness = opened()
    seen = set()
    for ms in range(0, 86_400_000, 200):
        health = liveness.health(float(ms))
        seen.add(health)
        if health is Health.PROBE:
            liveness.heard_ms = ms + ANSWER_MS - 200.0  # the slowest answer that is one
    assert seen == {Health.FINE, Health.PROBE}


def test_a_text_that_the_venue_counts_is_a_probe_too():
    liveness = opened(Keepalive("ping", 5_000, 20_000, every_ms=5_000, probe=False))
    liveness.heard_ms = 4_900.0
    assert liveness.health(5_000.0) is Health.PROBE
    assert liveness.health(5_000.0 + ANSWER_MS) is Health.FINE
    assert liveness.health(5_000.0 + ANSWER_MS + 1) is Health.DEAD


def test_who_must_not_be_probed_is_dead_by_silence_alone():
    liveness = opened(Keepalive(None, 15_000, 15_000, probe=False))
    assert [liveness.health(ms) for ms in (15_000.0, 15_001.0)] == [Health.FINE, Health.DEAD]


def test_the_venues_own_shorter_times_win():
    liveness = opened(Keepalive("ping", 2_000, 6_000))
    assert liveness.health(2_000.0) is Health.PROBE
    assert liveness.health(6_001.0) is Health.DEAD


def test_a_silent_connection_is_dead_and_a_heard_one_is_not():
    liveness = opened()
    assert liveness.health(DEAD_MS + 1) is Health.DEAD
    liveness.heard_ms = DEAD_MS
    assert liveness.health(DEAD_MS + 1) is Health.FINE


def test_proof_of_life_grows_old():
    liveness = opened()
    assert liveness.proved(PROVED_MS - 1)
    assert not liveness.proved(PROVED_MS)


def test_silence_is_not_judged_right_after_a_stall_or_while_reading_is_held_back():
    liveness = opened()
    assert liveness.tick(200.0, 0.0, reading=True)
    assert not liveness.tick(5_000.0, 0.0, reading=True)
    for ms in range(5_200, 5_000 + int(PATIENCE_MS), 200):
        assert not liveness.tick(float(ms), 0.0, reading=True)
    assert liveness.tick(5_000.0 + PATIENCE_MS, 0.0, reading=True)
    assert not liveness.tick(8_200.0, 0.0, reading=False)


def test_the_lifetime_ends_once_a_little_early_and_not_for_everybody_at_once():
    ends = []
    for seed in range(20):
        liveness = Liveness(Keepalive(None, 1, 1), 100_000, random.Random(seed))
        liveness.opened(0.0)
        ends.append(next(ms for ms in range(0, 100_000, 100) if liveness.ending(float(ms))))
        assert not liveness.ending(1e9)
    assert min(ends) >= 90_000
    assert max(ends) <= 98_100
    assert len(set(ends)) > 10
    assert not opened().ending(1e12)
