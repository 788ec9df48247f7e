"""Encoder, heads, micro-batcher and checkpoints. Knows nothing of Kafka or Redis."""

import ctypes
import os
import sys

# Read once, when torch loads its OpenMP library, so it has to be said here. By default threads spin
# while they wait for each other; where anything else runs on their cores (an event loop, Redis),
# spinning keeps it, and each other, from finishing: docs/performance.md has the figures.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A forward pass lets go of the interpreter at each of some three hundred operations, and wants it
# back after each. Whoever took it meanwhile keeps it so long at most; at Python's own 5 ms a busy
# event loop makes every pass wait for it again and again.
sys.setswitchinterval(0.0001)

# A pass leaves tens of megabytes free at the end of a thread's heap. glibc gives them back at once,
# and the kernel has to clear the same pages for the next pass; so only what is more than this goes
# back. Blocks up to the second size come from the heap, or each would be mapped and cleared anew.
_M_TRIM_THRESHOLD, _KEPT_FREE = -1, 64 << 20
_M_MMAP_THRESHOLD, _FROM_HEAP = -3, 32 << 20  # glibc allows no more
if sys.platform == "linux" and (_mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
    _mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)
    _mallopt(_M_MMAP_THRESHOLD, _FROM_HEAP)
