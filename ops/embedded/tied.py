"""Run a program that dies with its parent: `python tied.py PARENT_PID PROGRAM [ARGUMENT…]`.

A launcher, not a `preexec_fn`: code run between fork and exec of a threaded process may deadlock, and Python 3.12
warns of it. This file imports nothing of ours and starts in ~15 ms with `python -I -S`.

Linux: the kernel sends SIGKILL when the parent's *thread* that started us ends (prctl(2), PR_SET_PDEATHSIG; the
setting survives exec), so servers are started from the thread of the event loop, never from a worker thread.
Elsewhere: a watcher process looks every half second whether the parent still lives.
"""

import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1  # linux/prctl.h
WATCH_PERIOD_S = 0.5  # the longest an orphan outlives its parent where the kernel cannot tell us


def main(arguments: list[str]) -> None:
    """Tie this process to the parent, then become the program."""
    parent_pid, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        tie_by_kernel(parent_pid)
    else:
        tie_by_watcher(parent_pid)
    os.execv(program[0], program)  # noqa: S606 - no shell is wanted


def tie_by_kernel(parent_pid: int) -> None:
    """Ask the kernel for SIGKILL at the parent's death."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent_pid:  # it died before we asked, so the signal will never come
        sys.exit(1)


def tie_by_watcher(parent_pid: int) -> None:
    """Fork a watcher that kills this process once the parent is gone and ends when this process ends."""
    server_pid = os.getpid()
    child_pid = os.fork()
    if child_pid:
        os.waitpid(child_pid, 0)
        return
    if os.fork():  # twice, so that the watcher is nobody's zombie: servers do not reap children they did not start
        os._exit(0)
    os.setsid()  # a Ctrl-C in the terminal is for the parent
    while is_alive(server_pid):
        if not is_alive(parent_pid):
            os.kill(server_pid, signal.SIGKILL)
            break
        time.sleep(WATCH_PERIOD_S)
    os._exit(0)


def is_alive(pid: int) -> bool:
    """Whether a process of this number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
