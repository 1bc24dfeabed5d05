"""This machine: Python, event loop, file descriptors; settings that have no effect yet."""

import platform
import resource
import sys
from importlib.util import find_spec

from fleet.config import Settings
from ops.doctor.check import Check, fail, ok, warn

PYTHON = (3, 11)
# sockets of a busy daemon: ~20 to venues, 16 to Redis for reading, pools; and room
OPEN_FILES = 1024


def check_machine(settings: Settings) -> list[Check]:
    """Nothing here asks the network."""
    return [_python(), _event_loop(), _open_files(), *_idle_settings(settings)]


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info < PYTHON:
        return fail("python", f"Python {version}", f"install Python {PYTHON[0]}.{PYTHON[1]} or newer")
    return ok("python", f"Python {version} on {platform.system()} {platform.machine()}")


def _event_loop() -> Check:
    if find_spec("uvloop") is None:
        return warn("event loop", "uvloop is missing: a message costs about a quarter more CPU", "pip install uvloop")
    return ok("event loop", "uvloop")


def _open_files() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        return warn("open files", f"limit {soft}, a busy daemon wants {OPEN_FILES}", f"ulimit -n {OPEN_FILES}")
    return ok("open files", f"limit {'none' if soft == resource.RLIM_INFINITY else soft}")


def _idle_settings(settings: Settings) -> list[Check]:
    return [
        warn("settings", f"{name} is set, and has no effect in this version", f"unset {name}")
        for name in settings.without_effect()
    ]
