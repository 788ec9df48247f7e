"""Who it is that runs this process, by name."""

from __future__ import annotations

import getpass
import os


def login_name() -> str:
    """A container may run as a number that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the second from Python 3.13 on
        return f"uid-{os.getuid()}"
