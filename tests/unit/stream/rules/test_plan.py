"""Rules that are not looked at would not have said anything."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from stream.records import Scored, Subject
from stream.rules.rule_file import Rule
from stream.rules.rule_set import Known, Match, RuleSet
from stream.signals.windows import SUMS, Windows
from tests.fakes import scored, scores

PARTS = st.sampled_from(
    [
        'sentiment.label == "negative"',
        'risk.label == "high"',
        'risk.label != "high"',
        "!sentiment.abstained",
        "risk.confidence >= 0.5",
        "signal.volume >= 2.0",
        "signal.volume > 2.0",
        "signal.volume >= 3.0",
        "signal.volume < 3.0",
        "signal.volume <= 2.0",
        "signal.events >= 3",
        "subject.id == 'A'",
        "event.copy_of == ''",
        "(signal.volume > 3.0 || risk.abstained)",
    ]
)
CONDITIONS = st.lists(PARTS, min_size=1, max_size=3).map(" && ".join)
RULES = st.lists(
    st.tuples(CONDITIONS, CONDITIONS | st.just(""), st.sampled_from(["", "5m"])),
    min_size=1,
    max_size=8,
)


HEADS = st.builds(
    lambda tone, risk, older: {
        name: score
        for name, score in scores(sentiment=(tone, 0.9), risk=(risk, 0.6)).items()
        if name not in older
    },
    st.sampled_from(["negative", "neutral"]),
    st.sampled_from(["low", "high"]),
    st.sampled_from([(), (), ("risk",)]),
)
EVENTS = st.builds(
    lambda heads, copy_of: scored(
        heads=heads, subjects=(Subject("ticker", "A"), Subject("ticker", "B")), copy_of=copy_of
    ),
    HEADS,
    st.sampled_from(["", "e-0"]),
)


def rules(asked: list[tuple[str, str, str]], written: str) -> RuleSet:
    """The rules with their conditions put as written says, which means the same."""
    made: dict[str, Rule] = {}
    for place, (when, resolve, wait) in enumerate(asked):
        fields: dict[str, Any] = {
            "name": f"r{place}",
            "when": written.format(when),
            "resolve": written.format(resolve) if resolve else "",
            "for": wait,
            "subject": "ticker",
            "severity": "info",
            "title": "{subject}",
        }
        made[f"r{place}"] = msgspec.convert(fields, Rule)
    return RuleSet(made)


def told(matches: list[Match]) -> list[tuple[str, str, str]]:
    return [(match.rule.name, match.subject, match.outcome) for match in matches]


@examples(max_examples=300)
@given(
    RULES,
    EVENTS,
    st.lists(st.sampled_from([1.0, 2.0, 2.5, 3.0, 4.0]), min_size=2, max_size=2),
    st.sets(st.sampled_from(["r0", "r1", "r2"])) | st.none(),
)
def test_the_same_is_told_as_when_every_rule_is_asked(
    asked: list[tuple[str, str, str]],
    event: Scored,
    volumes: list[float],
    lasting: set[str] | None,
) -> None:
    around = {
        f"ticker:{name}": Windows(int(volume), 0, 0, 0, 1, 1, [volume] * len(SUMS))
        for name, volume in zip("AB", volumes, strict=True)
    }
    found = []
    # No part of "x || false" can be told without CEL.
    for written in ("{}", "({}) || false"):
        known = None if lasting is None else Known({"ticker:A": set(lasting)})
        made = rules(asked, written)
        verdicts = told(made.match(event, around, known))
        found.append((verdicts, known and set(known.about("ticker:A")), made.errors))
    assert found[0] == found[1]
