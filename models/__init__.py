"""Encoder, heads, micro-batcher and checkpoints. Knows nothing of Kafka or Redis."""

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
