"""Titles and summaries of rules: {placeholders} and what fills them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from models.spec import Head
from stream.conditions import RuleError
from stream.figures import FIGURES
from stream.records import Scored
from stream.rule_file import Rule

PLACEHOLDERS = ("subject", "text", "title", "source", "author", "customer")
"""What may be quoted, beside {<head>}, {<head>.confidence} and {signal.<name>}."""
MAX_QUOTED_CHARS = 280

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def check_placeholders(rule: Rule, heads: Sequence[Head], where: str) -> None:
    """Raises RuleError, beginning with where, on a placeholder that nothing fills."""
    known = [
        *PLACEHOLDERS,
        *(name for head in heads for name in _head_placeholders(head.name)),
        *(f"signal.{name}" for name in FIGURES),
    ]
    for field, template in (("title", rule.title), ("summary", rule.summary)):
        for placeholder in _PLACEHOLDER.findall(template):
            if placeholder not in known:
                raise RuleError(
                    f"{where}: {field} has the unknown placeholder {{{placeholder}}}; "
                    f"known are {', '.join(known)}"
                )


def _head_placeholders(head: str) -> tuple[str, str]:
    return head, f"{head}.confidence"


def quotable(scored: Scored) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, head in scored.heads.items():
        label, confidence = _head_placeholders(name)
        values[label] = head.label
        values[confidence] = f"{head.confidence:.2f}"
    # A user's head may be called "text"; the event's own fields keep their names.
    return values | {
        "text": scored.text[:MAX_QUOTED_CHARS],
        "title": scored.title[:MAX_QUOTED_CHARS],
        "source": scored.source,
        "author": scored.author,
        "customer": scored.customer,
    }


def fill(template: str, values: Mapping[str, str]) -> str:
    # A record scored by an older model may lack a head.
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], ""), template)
