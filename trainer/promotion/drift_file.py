"""The counts of drift in a file beside the label log, so that a restart goes on with them."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from models.atomic_files import put_whole
from stream.records import DECODE_ERRORS
from trainer.promotion.drift import WINDOW, Seen

DRIFT_FILE = "drift.json"
# Another way to count makes the counts of before say nothing.
FORMAT = 1

logger = logging.getLogger(__name__)


class _Kept(msgspec.Struct):
    format: int
    seen: Seen


def save_seen(folder: Path, seen: Seen) -> None:
    """Replace the file in one step: a kill leaves the old one or the new one. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    put_whole(folder / DRIFT_FILE, msgspec.json.encode(_Kept(FORMAT, seen)))


def load_seen(folder: Path, champion: str) -> Seen:
    """What was kept of this champion, else nothing; a file that can't be used is thrown away."""
    file = folder / DRIFT_FILE
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return Seen(champion)
    except OSError as error:
        logger.warning("%s can't be read (%s); drift begins a new reference", file, error.strerror)
        return Seen(champion)
    try:
        kept = msgspec.json.decode(content, type=_Kept)
        fault = _fault(kept, champion)
    except DECODE_ERRORS:
        fault = "is damaged"
    if fault:
        logger.warning("%s %s and is thrown away; drift begins a new reference", file, fault)
        file.unlink(missing_ok=True)
        return Seen(champion)
    return kept.seen


def peek_seen(folder: Path) -> Seen | None:
    """What is kept, for whoever only looks on; None where nothing is, or nothing to be used."""
    try:
        kept = msgspec.json.decode((folder / DRIFT_FILE).read_bytes(), type=_Kept)
    except (OSError, *DECODE_ERRORS):
        return None
    return None if _fault(kept, kept.seen.champion) else kept.seen


def _fault(kept: _Kept, champion: str) -> str:
    if kept.format != FORMAT:
        return f"has format {kept.format}, not {FORMAT},"
    if kept.seen.champion != champion:
        return f"is about {kept.seen.champion}, not about the champion {champion},"
    for pair in kept.seen.pairs:
        for counts in (pair.reference, pair.window):
            if not counts.answers == sum(counts.confidence.values()) <= WINDOW:
                return "does not add up"
    return ""
