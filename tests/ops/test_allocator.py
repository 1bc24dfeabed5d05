"""What a process keeps of memory that it has freed."""

import platform
import subprocess
import sys

import pytest

MAPPED = """
import ctypes
from ops.allocator import return_large_blocks
names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in names]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo2
{first}
block = bytearray(8_000_000)
del block
before = libc.mallinfo2().hblkhd
block = bytearray(4_000_000)
print(libc.mallinfo2().hblkhd - before)
"""


def _mapped_bytes(first: str) -> int:
    ended = subprocess.run(
        [sys.executable, "-c", MAPPED.format(first=first)], capture_output=True, text=True, timeout=60, check=True
    )
    return int(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no such habit")
def test_a_large_block_behind_a_larger_one_is_mapped_by_itself_and_so_goes_back() -> None:
    assert _mapped_bytes("return_large_blocks()") >= 4_000_000
    assert _mapped_bytes("") == 0
