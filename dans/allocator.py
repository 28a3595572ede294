"""Keeping freed memory, so that a training step does not ask the kernel for it again and again."""

import ctypes
import sys

#: glibc's names for two of its settings, from malloc.h: how much free memory at the top of the heap
#: is returned, and how many blocks may be mappings of their own rather than parts of the heap.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, up to the peak, instead of returning it.

    A training step allocates and frees the same few blocks of megabytes; by default each comes from
    the kernel anew, page by page. On UMLS that is half of the processor time of a step. Scripts
    call this; a library that is imported leaves its process as it found it.

    Returns:
        Was there a glibc to tell?
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
