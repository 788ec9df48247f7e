"""What ends a service or a command with a sentence, and without a traceback."""

from __future__ import annotations


class StartError(Exception):
    """A service can't start, or a command do its work; the message says why and how to mend it."""
