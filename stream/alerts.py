"""What an alert is made of: fingerprint, evidence, and the match that raises it. Pure."""

from __future__ import annotations

import hashlib

from stream.records import Evidence, Scored

EVIDENCE_CHARS = 500
EVIDENCE_EVENTS = 5
"""An alert keeps the latest events that made it grow."""


def fingerprint(rule: str, subject: str) -> str:
    """16 hex digits that name a rule and what it is about, for ever."""
    return hashlib.sha256(f"{rule}\n{subject}".encode()).hexdigest()[:16]


def evidence(scored: Scored) -> Evidence:
    return Evidence(
        event_id=scored.id,
        source=scored.source,
        time=scored.time,
        text=scored.text[:EVIDENCE_CHARS],
        scores=scored.heads,
    )
