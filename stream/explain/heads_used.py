"""Which heads a condition uses: those it names, and those behind the figures it reads. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from stream.rules.conditions import fields_used
from stream.signals.figures import FIGURES

OF_RISK = {"high_risk", "high_risk_long"}
OF_SENTIMENT = {
    *("scored", "scored_long", "sentiment", "sentiment_long", "sentiment_z"),
    *("negative", "negative_long", "neutral", "neutral_long", "positive", "positive_long"),
    *("sources_down", "sources_up"),
}


def heads_used(when: str, heads: Sequence[str]) -> tuple[str, ...]:
    """Of the model's heads those that the condition goes by; all where it goes by none."""
    named = fields_used(when)
    figures = named.get("signal", set())
    if not figures <= set(FIGURES):
        return tuple(heads)  # it takes the figures as one map
    behind = {
        head
        for head, of_head in (("sentiment", OF_SENTIMENT), ("risk", OF_RISK))
        if not of_head.isdisjoint(figures)
    }
    return tuple(head for head in heads if head in named or head in behind) or tuple(heads)
