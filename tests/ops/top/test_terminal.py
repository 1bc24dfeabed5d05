"""Where there is no terminal, `fleet top` says so."""

import os
import pty
import subprocess

from tests.support.commands import FLEET, REPOSITORY, Ended, assert_one_line, clean_environment, run_fleet


def test_without_a_terminal_the_error_names_the_mend():
    assert_one_line(run_fleet("top"), 2, "terminal", "fleet status --json")


def test_a_dumb_terminal_is_refused():
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*FLEET, "top"], cwd=REPOSITORY, env=clean_environment() | {"TERM": "dumb"}, stdin=theirs, stdout=theirs,
        stderr=subprocess.PIPE, text=True, timeout=30, check=False,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert_one_line(Ended(done.returncode, "", done.stderr), 2, "TERM=dumb", "fleet status")
