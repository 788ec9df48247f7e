"""Training and evaluation of checkpoints. Knows nothing of agents."""
