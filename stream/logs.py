"""Log set-up of every command."""

from __future__ import annotations

import logging
import sys

from stream.ingest.text import printable

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class OneLine(logging.Formatter):
    """One line a message, whatever stands in it: ids and errors may hold what strangers wrote."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = printable(record.message)
        return super().formatMessage(record)


def set_up_logging(level: str = "INFO") -> None:
    """Log to stderr: stdout belongs to what a command prints."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(FORMAT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # These report every reconnect attempt as an error of its own; Patience reports the cause once.
    for chatty in ("aiokafka", "faust", "mode", "kafka", "stream.ingest.chunks"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
