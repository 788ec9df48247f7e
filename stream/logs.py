"""Log set-up of every command."""

from __future__ import annotations

import logging
import sys


def set_up_logging(level: str = "INFO") -> None:
    """Log to stderr: stdout belongs to what a command prints."""
    logging.basicConfig(
        level=level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        force=True,
    )
    # These report every reconnect attempt as an error of its own; Patience reports the cause once.
    for chatty in ("aiokafka", "faust", "mode", "kafka", "stream.chunks"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
