"""Titles and summaries of rules: {placeholders} and what fills them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from models.spec import Head
from stream.records import Scored
from stream.rules.rule_file import Rule
from stream.signals.figures import FIGURES

PLACEHOLDERS = ("subject", "text", "title", "source", "author", "customer")
"""What may be quoted, beside {<head>}, {<head>.confidence} and {signal.<name>}."""
MAX_QUOTED_CHARS = 280

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def wrong_placeholders(rule: Rule, heads: Sequence[Head]) -> list[str]:
    """What is wrong with title and summary: placeholders that nothing fills."""
    known = [
        *PLACEHOLDERS,
        *(name for head in heads for name in _head_placeholders(head.name)),
        *(f"signal.{name}" for name in FIGURES),
    ]
    faults = []
    for field, template in (("title", rule.title), ("summary", rule.summary)):
        faults += [
            f"{field} has the unknown placeholder {{{placeholder}}}; known are {', '.join(known)}"
            for placeholder in _PLACEHOLDER.findall(template)
            if placeholder not in known
        ]
        if "{" in _PLACEHOLDER.sub("", template):
            faults.append(f"{field} has a {{ that no }} closes")
    return faults


def _head_placeholders(head: str) -> tuple[str, str]:
    return head, f"{head}.confidence"


def fill(template: str, scored: Scored, subject: str, signal: Mapping[str, float]) -> str:
    """The template with its placeholders replaced; what is quoted is not filled again."""
    return _PLACEHOLDER.sub(lambda found: _quoted(found[1], scored, subject, signal), template)


def _quoted(name: str, scored: Scored, subject: str, signal: Mapping[str, float]) -> str:
    # A user's head may be called "text"; the event's own fields keep their names.
    if name == "subject":
        return subject
    if name in PLACEHOLDERS:
        text: str = getattr(scored, name)
        return text if len(text) <= MAX_QUOTED_CHARS else f"{text[: MAX_QUOTED_CHARS - 1]}…"
    owner, _, field = name.partition(".")
    if owner == "signal":
        return f"{signal[field]:z.2f}" if field in signal else ""
    # A record scored by an older model may lack a head.
    head = scored.heads.get(owner)
    if head is None:
        return ""
    return f"{head.confidence:.2f}" if field else head.label
