"""Fingerprints never change, and evidence is small."""

from __future__ import annotations

from stream.alerts.evidence import EVIDENCE_CHARS, evidence, fingerprint
from tests.fakes import NOON, scored, scores


def test_a_fingerprint_is_the_same_on_every_machine_and_release() -> None:
    """Consumers keep them; a changed formula would make every open alert fire again."""
    assert fingerprint("negative-news-on-ticker", "ticker:HALC") == "b933b6be538ae734"


def test_rule_and_subject_both_count_and_do_not_run_into_each_other() -> None:
    pairs = [("a", "ticker:b"), ("a", "ticker:c"), ("b", "ticker:b"), ("a-ticker", ":b")]
    assert len({fingerprint(*pair) for pair in pairs}) == len(pairs)


def test_evidence_says_what_was_judged_and_cuts_a_long_text() -> None:
    heads = scores(sentiment="negative")
    shown = evidence(scored(id="n-1", text="€" * (EVIDENCE_CHARS + 1), heads=heads))
    assert shown.text == "€" * EVIDENCE_CHARS
    assert (shown.event_id, shown.source, shown.time) == ("n-1", "news", NOON)
    assert shown.scores == heads
