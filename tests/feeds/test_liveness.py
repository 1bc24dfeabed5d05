"""Whether a connection is alive."""

import random

from feeds.liveness import DEAD_MS, PATIENCE_MS, PROBE_MS, PROVED_MS, Health, Liveness
from feeds.venue import Keepalive


def opened(keepalive: Keepalive | None = None, lifetime_ms: int | None = None) -> Liveness:
    liveness = Liveness(keepalive or Keepalive(None, 180_000, 600_000), lifetime_ms, random.Random(3))
    liveness.opened(0.0)
    return liveness


def test_a_quiet_connection_is_probed_once_per_idle_time():
    liveness = opened()
    health = [liveness.health(float(ms)) for ms in range(0, int(2.5 * PROBE_MS), 100)]
    assert health.count(Health.PROBE) == 2
    assert Health.DEAD not in health


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
