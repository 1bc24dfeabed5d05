"""The command line as users start it: a process of its own, with no setting but those that the test gives."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FLEET = (sys.executable, "-m", "ops.cli")


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as the one JSON document that it must be."""
        return json.loads(self.out)


def clean_environment() -> dict[str, str]:
    """The environment without any setting of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FLEET_")}


def run_fleet(*arguments: str, timeout_s: float = 60, **environment: str) -> Ended:
    """`run_fleet("status", "--json", FLEET_REDIS_URL=…)` is `fleet status --json`."""
    done = subprocess.run(
        [*FLEET, *arguments], cwd=REPOSITORY, env=clean_environment() | environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def running_fleet(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """The same, not waited for; stdout and stderr are pipes. Killed at the end, if it still runs."""
    process = subprocess.Popen(
        [*FLEET, *arguments], cwd=REPOSITORY, env=clean_environment() | environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def assert_one_line(ended: Ended, code: int, *words: str) -> None:
    """The command ended with `code` and said one line on stderr that holds all the words; no traceback."""
    assert ended.code == code, ended
    lines = ended.err.strip().splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("fleet: "), ended.err
    missing = [word for word in words if word not in lines[0]]
    assert not missing, f"{missing} not in {lines[0]!r}"
