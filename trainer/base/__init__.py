"""Rebuilds the shipped checkpoint from public sets and our own sentences."""
