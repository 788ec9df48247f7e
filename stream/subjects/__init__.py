"""Who and what an event is about, and whether it is news."""
