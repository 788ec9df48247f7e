"""What an alert is made of: fingerprint, evidence, and the match that raises it. Pure."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from stream.records import Evidence, Scored

if TYPE_CHECKING:  # the commands on alerts ask no rule, and loading CEL takes a while
    from stream.rules.rule_set import Match

SEVERITY_RANKS = {"info": 0, "warning": 1, "critical": 2}
EVIDENCE_CHARS = 500
EVIDENCE_EVENTS = 5
"""An alert keeps the latest events that made it grow."""


@lru_cache(maxsize=100_000)
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
        title=scored.title[:EVIDENCE_CHARS],
        origin=scored.origin,
        model=scored.model,
        novelty=scored.novelty,
        copy_of=scored.copy_of,
    )


def rule_labels(match: Match) -> dict[str, str]:
    """What routing goes by, but for the severity, which the alert's life decides."""
    return {
        "rule": match.rule.name,
        "subject_kind": match.subject.partition(":")[0],
        **match.rule.labels,
    }


def condition_of(match: Match) -> str:
    """What the rule asked when it gave this verdict, with its thresholds."""
    condition = match.rule.resolve if match.outcome == "resolves" else match.rule.when
    return " ".join(condition.split())
