"""Encoder, heads, micro-batcher and checkpoints. Knows nothing of Kafka or Redis."""
