"""What the doctor sees on this machine."""

import resource

from fleet.config import Settings
from ops.doctor.machine import check_machine


def found(**settings: object) -> dict[str, tuple[str, str, str]]:
    checks = check_machine(Settings(**settings))
    return {check.name: (check.status.value, check.detail, check.mend) for check in checks}


def test_this_python_is_good_enough():
    assert found()["python"][0] == "ok"


def test_few_open_files_are_a_warning(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert found()["open files"] == ("warn", "limit 256, a busy daemon wants 1024", "ulimit -n 1024")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert found()["open files"][:2] == ("ok", "limit none")


def test_a_setting_without_effect_is_told():
    assert "settings" not in found()
    assert found(api_port=8080)["settings"] == (
        "warn", "FLEET_API_PORT is set, and has no effect in this version", "unset FLEET_API_PORT",
    )  # fmt: skip
