"""The limits, by hand-made clocks."""

from ops.simulator.limits import SlidingLimit, WeightMeter

NOON_MS = 1_795_348_800_000


def test_a_sliding_limit_counts_any_window() -> None:
    limit = SlidingLimit(5, 1000)
    assert all(limit.allows(now) for now in (0, 100, 200, 300, 900))
    assert not limit.allows(999)
    assert limit.allows(1000)
    assert not limit.allows(1001)
    assert limit.allows(1100)


def test_weight_beyond_the_limit_is_429_until_the_next_minute() -> None:
    meter = WeightMeter(100)
    assert meter.charge(100, NOON_MS + 15_000).status == 200
    refused = meter.charge(1, NOON_MS + 15_500)
    assert (refused.status, refused.retry_after_s, refused.used) == (429, 45, 101)
    assert meter.charge(1, NOON_MS + 60_000).status == 200


def test_going_on_after_429_is_banned_for_two_minutes() -> None:
    meter = WeightMeter(1)
    statuses = [meter.charge(1, NOON_MS).status for _ in range(12)]
    assert statuses == [200] + [429] * 10 + [418]
    verdict = meter.charge(1, NOON_MS + 119_001)
    assert (verdict.status, verdict.retry_after_s) == (418, 1)
    assert meter.charge(1, NOON_MS + 120_000).status == 200
