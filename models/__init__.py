"""Encoder, heads, micro-batcher and checkpoints. Knows nothing of Kafka or Redis."""

import os

# Read once, when torch loads its OpenMP library, so it has to be said here. By default threads spin
# while they wait for each other; where anything else runs on their cores (an event loop, Redis),
# spinning keeps it, and each other, from finishing: docs/performance.md has the figures.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
