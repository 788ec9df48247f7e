"""Rule files, compiled: what holds for an event and its subjects."""
