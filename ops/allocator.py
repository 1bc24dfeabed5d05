"""The C library's allocator, told that large blocks go back to the system when they are freed.

glibc takes a freed block for one that will be asked for again, and raises the size from which blocks are mapped one by one, up to
32 MiB. Tables of dicts that grow by doubling then leave holes of megabytes in its heap: the memory of a daemon swings by a
tenth and creeps up for an hour. (mallopt(3), M_MMAP_THRESHOLD)
"""

import ctypes

LARGE_BYTES = 512 * 1024
_M_MMAP_THRESHOLD = -3


def return_large_blocks() -> bool:
    """Whether there was a glibc to tell; macOS and musl have no such habit."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))
