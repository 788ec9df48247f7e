"""The commands. Each parses, calls and prints; the work is done where the imports point."""
