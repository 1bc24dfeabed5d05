"""ops/setup/venv.sh: when it cannot do its work it says what to install."""

import os
import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[3] / "ops" / "setup" / "venv.sh"


def run_with_programs(folder, **programs):
    """Run the script where PATH holds nothing but `rm` and these programs."""
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "rm").symlink_to(shutil.which("rm"))
    for name, code in programs.items():
        program = binaries / name.replace("_", ".")
        program.write_text(f"#!/bin/sh\n{code}\n")
        program.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", SCRIPT, "embedded"],
        cwd=folder,
        env={"PATH": os.fspath(binaries)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_without_a_new_python_it_names_the_version_and_the_mend(tmp_path):
    finished = run_with_programs(tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.startswith("setup: Python 3.11 or newer is needed and was not found. Mend: apt-get install")


def test_a_version_managers_shim_that_runs_nothing_is_passed_over(tmp_path):
    finished = run_with_programs(tmp_path, python3_13="exit 127", python3="exit 1")
    assert finished.returncode == 1
    assert "Python 3.11 or newer is needed" in finished.stderr


def test_a_python_without_venv_support_is_told_with_the_mend(tmp_path):
    """Debian's python3 alone: it runs, it knows its version, it has no ensurepip."""
    code = 'case "$2" in *ensurepip*) exit 1;; *sys.executable*) echo "$0";; esac'
    finished = run_with_programs(tmp_path, python3_12=code)
    assert finished.returncode == 1
    assert "cannot make virtual environments. Mend: apt-get install python3-venv" in finished.stderr
    assert not (tmp_path / ".venv").exists()
