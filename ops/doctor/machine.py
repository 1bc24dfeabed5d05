"""This machine: Python, file descriptors, the spill folder."""

import os
import platform
import resource
import shutil
import sys
from importlib.util import find_spec

from fleet.config import Settings
from ops.doctor.check import Check, fail, ok, warn

PYTHON = (3, 11)
# sockets of a busy daemon: ~20 to venues, 16 to Redis for reading, pools, files of the spill; and room
OPEN_FILES = 1024
SPILL_BYTES = 1 << 30  # an hour of 500 busy pairs


def check_machine(settings: Settings) -> list[Check]:
    """Nothing here asks the network."""
    return [_python(), _event_loop(), _open_files(), _spill(settings)]


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


def _spill(settings: Settings) -> Check:
    name = "spill folder"
    if settings.clickhouse_url is None:
        return ok(name, "not needed: no history is recorded")
    if settings.spill_dir is None:
        return warn(
            name,
            "FLEET_SPILL_DIR is not set: when ClickHouse is away for long, history beyond the streams' cap is lost",
            "set FLEET_SPILL_DIR to a folder on a local disk",
        )
    folder = settings.spill_dir
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(parent, os.W_OK | os.X_OK) or not parent.is_dir():
        return fail(name, f"{folder}: this user may not write there", f"chown or chmod {parent}")
    free = shutil.disk_usage(parent).free
    if free < SPILL_BYTES:
        return warn(name, f"{folder}: {free >> 20} MB free", "make room: an hour of history may need 1 GB")
    return ok(name, f"{folder}: {free >> 30} GB free")
