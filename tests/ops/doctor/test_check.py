"""Verdicts."""

import pytest

from fleet.errors import ConfigError, FleetError, SchemaMissing, Unreachable
from ops.doctor.check import Verdict, by_limits, failed


@pytest.mark.parametrize(("value", "status"), [(10, "ok"), (11, "warn"), (20, "warn"), (21, "fail")])
def test_limits_are_inclusive(value, status):
    check = by_limits("x", value, 10, 20, "detail", "mend")
    assert check.status == status
    assert bool(check.mend) == (status != "ok")


@pytest.mark.parametrize(
    ("error", "detail", "mend"),
    [
        (Unreachable("redis://h: connection refused; is it running?"), "redis://h: connection refused", "is it running?"),
        (SchemaMissing("table X is missing: run `fleet init`"), "table X is missing", "run `fleet init`"),
        (ConfigError("redis://h: Redis 5.0, need 6.2"), "redis://h: Redis 5.0, need 6.2", "start that server"),
        (FleetError("what; who: use another FLEET_NAMESPACE"), "what; who", "use another FLEET_NAMESPACE"),
    ],
)  # fmt: skip
def test_the_mend_of_an_error_is_its_end(error, detail, mend):
    check = failed("x", error)
    assert check.status is Verdict.FAIL
    assert check.detail == detail
    assert check.mend.startswith(mend)
