"""Matchers: Alertmanager's syntax, anchored, and bounded whatever the pattern."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.alerts.matchers import MAX_PATTERN_CHARS, Matcher, MatcherError, parse_matcher

LABELS = {"rule": "fraud-wave", "severity": "critical", "subject": "ticker:HALC"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("rule=fraud-wave", True),
        ('rule="fraud-wave"', True),
        (" rule = fraud-wave ", True),
        (r'rule!="say \"x\", y=\"z\""', True),
        ("rule=fraud", False),
        ("rule!=fraud", True),
        ("subject=~ticker:.*", True),
        ("subject=~ticker", False),
        ("subject=~a|ticker:HALC|b", True),
        ("subject!~ticker:.*", False),
        ("team=", True),
        ("team=risk", False),
        ("team!=risk", True),
        ("team!~.+", True),
    ],
)
def test_a_matcher_holds(text: str, holds: bool) -> None:
    assert parse_matcher(text).holds(LABELS) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule", "is no matcher"),
        ("", "is no matcher"),
        ("=x", "is no matcher"),
        ("rule=a\udcff", "is no matcher"),
        ("rule=~a\udcff", "is no matcher"),
        ('rule="x', "no closing one"),
        (r'rule="x\"', "no closing one"),
        ('subject="ticker:A", rule="neg"', "goes on behind its closing quote with ', rule="),
        ('rule="a"b"', "write a quote within a value as"),
        ("rule=~(", "unclosed group"),
        ("rule=~a)|(b", "unopened group"),
        ("subject=ticker:A,rule=neg", r"two matchers; give 'rule=neg' as one of its own"),
        (r"rule=~(a)\1", "backreferences are not supported"),
        ("rule=~((a{900}){900}){900}", "too much memory|size limit"),
        ("rule=~" + "a" * (MAX_PATTERN_CHARS + 1), "longer than"),
    ],
)
def test_a_bad_matcher_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(MatcherError, match=said):
        parse_matcher(text)


@pytest.mark.parametrize(
    "text",
    [
        "severity=criticl",
        "severity!=Critical",
        "severity=",
        "severity=~criticl",
        "severity!~err.*",
        "severity=~criticl|warning",
    ],
)
def test_a_severity_that_no_alert_has_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(MatcherError, match="severities are info, warning, critical"):
        parse_matcher(text)


@pytest.mark.parametrize(
    "text", ["severity=info", "severity=~crit.*", "severity=~info|warning", "severity!~(a|i).*"]
)
def test_a_severity_that_alerts_have_is_taken(text: str) -> None:
    assert parse_matcher(text).name == "severity"


def test_a_pattern_that_backtracking_engines_choke_on_answers() -> None:
    assert not parse_matcher("rule=~(a+)+b").holds({"rule": "a" * 900})


def test_a_line_end_is_a_character_like_others() -> None:
    assert parse_matcher("rule=~a.b").holds({"rule": "a\nb"})
    assert not parse_matcher("rule=~a").holds({"rule": "a\n"})


@given(name=st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,9}\Z"), value=st.text(max_size=40))
def test_a_matcher_written_and_read_is_the_same(name: str, value: str) -> None:
    matcher = Matcher(name, "!=", value)
    assert parse_matcher(str(matcher)) == matcher
