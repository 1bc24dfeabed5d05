"""What the doctor sees on this machine."""

import resource
from pathlib import Path

from pydantic import SecretStr

from fleet.config import Settings
from ops.doctor.machine import check_machine


def found(**settings: object) -> dict[str, tuple[str, str, str]]:
    checks = check_machine(Settings(**settings))
    return {check.name: (check.status.value, check.detail, check.mend) for check in checks}


HISTORY = {"clickhouse_url": SecretStr("clickhouse://u:p@127.0.0.1:9000/x")}


def test_this_python_is_good_enough():
    assert found()["python"][0] == "ok"


def test_few_open_files_are_a_warning(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert found()["open files"] == ("warn", "limit 256, a busy daemon wants 1024", "ulimit -n 1024")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert found()["open files"][:2] == ("ok", "limit none")


def test_a_spill_folder_matters_only_where_history_is_recorded(tmp_path):
    assert found()["spill folder"][0] == "ok"
    assert found(**HISTORY)["spill folder"][0] == "warn"
    assert found(**HISTORY, spill_dir=tmp_path / "new" / "spill")["spill folder"][0] in {"ok", "warn"}


def test_a_spill_folder_that_cannot_be_written_fails(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    status, detail, _ = found(**HISTORY, spill_dir=Path(file, "spill"))["spill folder"]
    assert (status, "may not write" in detail) == ("fail", True)
