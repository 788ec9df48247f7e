"""What ends a service or a command with a sentence, and without a traceback."""

from __future__ import annotations


class StartError(Exception):
    """A service can't start; the message names what is missing and how to mend it."""
