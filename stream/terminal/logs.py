"""Log set-up of every command."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable

from stream.ingest.text import printable

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# These report every reconnect attempt as an error of its own, some hundred a second while brokers
# are away; backoff.py and the watchdog report the cause once.
CHATTY = (
    "aiokafka",
    "faust",
    "mode",
    "kafka",
    "stream.ingest.chunks",
    "stream.ingest.consumer_thread",
)
CHATTY_AND_BELOW = tuple(f"{name}." for name in CHATTY)
# Its one message below a warning says that retention has taken what was to be read next.
TELLING = "aiokafka.consumer.fetcher"
SPARING_S = 10.0
REMEMBERED = 1_000


class OneLine(logging.Formatter):
    """One line a message, whatever stands in it: ids and errors may hold what strangers wrote."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = printable(record.message)
        return super().formatMessage(record)


class Sparing(logging.Filter):
    """Lets one message of a kind through in ten seconds, with how many were left out before it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._shown: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not f"{record.name}.".startswith(CHATTY_AND_BELOW):
            return True
        kind, now = (record.name, str(record.msg)), self._clock()
        shown_at, left_out = self._shown.get(kind, (-math.inf, 0))
        if now - shown_at < SPARING_S:
            self._shown[kind] = shown_at, left_out + 1
            return False
        if len(self._shown) >= REMEMBERED:  # some put the changing part into the kind
            self._shown.clear()
        self._shown[kind] = now, 0
        if left_out:
            record.msg = f"{record.msg} ({left_out} more like it were left out)"
        return True


def set_up_logging(level: str) -> None:
    """Log to stderr: stdout belongs to what a command prints."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(FORMAT))
    handler.addFilter(Sparing())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
    logging.getLogger(TELLING).setLevel(max(logging.INFO, logging.getLogger().level))
