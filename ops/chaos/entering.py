"""Make a socket in the network namespace of another process: it stays there, we come back. Linux, as root."""

import ctypes
import os
from collections.abc import Callable
from typing import TypeVar

CLONE_NEWNET = 0x40000000  # linux/sched.h

T = TypeVar("T")


def made_in(pid: int | None, make: Callable[[], T]) -> T:
    """`make()` with the network of process `pid`; None: with ours. It must not await: the whole thread is elsewhere.

    Raises OSError: no such process, or no right to enter.
    """
    if pid is None:
        return make()
    ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        theirs = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(theirs)
        finally:
            os.close(theirs)
        try:
            return make()
        finally:
            _enter(ours)
    finally:
        os.close(ours)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"entering a network namespace: {os.strerror(number)}")
