"""Explanations of alerts: what is compared, what is decided, and what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
import pytest
from click.testing import CliRunner

from models.explanation import Attribution, Edit, Neighbour, Word
from models.spec import DEFAULT_HEADS, Calibration, HeadScore, Scores
from models.stub import StubPredictor
from stream.alerts.evidence import evidence
from stream.commands import explainers
from stream.commands.explain import explain as explain_command
from stream.config.settings import Alerting, Settings
from stream.explain import explanation_view
from stream.explain.explainer import AlertExplainer, explain_text
from stream.explain.explanation import MAX_DIFFERENCE, ExplainedAlert, compare
from stream.explain.rounding import possible_answers
from stream.ingest.readable import abstain
from stream.records import Alert, Origin, Scored, Subject
from stream.rules.rule_file import read_rule_file
from stream.signals.figures import FIGURES
from stream.terminal import show
from tests.fakes import NOON, scored, scores

TEXT = "negative earnings high \x1b[31mred"


@dataclass
class FakeExplainer:
    """The stub's answers, and a weight for each word."""

    predictor: StubPredictor = field(default_factory=StubPredictor)

    def scores(self, text: str, kind: str = "") -> Scores:
        return self.predictor.predict(self.predictor.tokenize([text]), [kind])[0]

    def attribute(self, text: str, head: str, label: str = "", kind: str = "") -> Attribution:
        words = tuple(Word(word, 1.0 / (n + 1), n < 3) for n, word in enumerate(text.split()))
        answer = self.scores(text)[head]
        return Attribution(head, answer.label, answer.confidence, 2.0, -1.0, 0.01, 32, words)

    def smallest_edit(self, text: str, attribution: Attribution, kind: str = "") -> Edit | None:
        return (
            Edit((text.split(maxsplit=1)[0],), "rest", "neutral", 0.6) if kind == "news" else None
        )


def nearest(_explainer: Any, head: str, text: str) -> list[Neighbour]:
    return [Neighbour(f"like {text}", f"{head}'s", "sentences/news", 0.5)]


def settings(folder: Path, when: str = 'sentiment.label == "negative"') -> Settings:
    rules = folder / "rules.toml"
    rules.write_text(
        f'[[rule]]\nname = "r"\nwhen = \'{when}\'\nsubject = "ticker"\n'
        "resolve = 'sentiment.label == \"positive\"'\n"
        'severity = "warning"\ntitle = "T"\n',
        encoding="utf-8",
    )
    return Settings(alerting=Alerting(rules=rules))


def event(**changes: Any) -> Scored:
    fields: dict[str, Any] = {
        "text": TEXT,
        "heads": FakeExplainer().scores(TEXT),
        "model": "stub",
        "subjects": (Subject("ticker", "AAPL"),),
    }
    return scored(**{**fields, **changes})


def alert(folder: Path, *events: Scored, **changes: Any) -> Alert:
    (rule,) = read_rule_file(settings(folder).alerting.rules).rules.values()
    fields: dict[str, Any] = {
        "id": "a-1",
        "fingerprint": "a",
        "episode": 1,
        "sequence": 1,
        "rule": "r",
        "rule_version": rule.version,
        "severity": "warning",
        "state": "firing",
        "subject": "ticker:AAPL",
        "title": "Trouble \x1b]0;x\x07",
        "summary": "",
        "first_seen": NOON,
        "last_seen": NOON,
        "count": len(events),
        "evidence": tuple(evidence(one) for one in events),
        "signal": {"volume": 1.23456},
        "model": "stub",
    }
    return Alert(**{**fields, **changes})


def explain(
    folder: Path, found: Alert, again: Any = None, when: str | None = None
) -> ExplainedAlert:
    own = settings(folder, when) if when else settings(folder)
    explainer = AlertExplainer(own, lambda _version: FakeExplainer(), nearest)
    return explainer.explain(found, [2] * len(found.evidence), again)


def rounded(label: str, confidence: float) -> HeadScore:
    return scores(sentiment=(label, confidence))["sentiment"]


def record(fields: dict[str, Any], origin: Origin) -> Any:
    return SimpleNamespace(
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        key=None,
        value=orjson.dumps(fields),
        timestamp=0,
        headers=(),
    )


def test_an_alert_is_explained_by_the_heads_its_rule_reads(tmp_path: Path) -> None:
    found = explain(tmp_path, alert(tmp_path, event()))
    assert found.rule
    assert found.rule["when"] == 'sentiment.label == "negative"'
    assert not found.rule_changed
    assert found.related[:2] == ["MSFT", "GOOGL"]
    assert found.replay is None
    (one,) = found.events
    assert (one.event_id, one.copies, one.origin) == ("e-1", 2, Origin("news", 0, 1))
    assert list(one.explained.heads) == ["sentiment"]
    assert one.explained.heads["sentiment"].score.label == "negative"
    assert one.explained.heads["sentiment"].nearest[0].label == "sentiment's"
    decoded = orjson.loads(msgspec.json.encode(found))
    assert decoded["events"][0]["explained"]["heads"]["sentiment"]["attribution"]["words"]


def test_a_replay_reads_the_log_and_matches(tmp_path: Path) -> None:
    origin = Origin("news", 0, 1)
    fields = {"id": "e-1", "text": TEXT, "tickers": ["AAPL"], "time": NOON.isoformat()}
    found = explain(tmp_path, alert(tmp_path, event()), {origin: record(fields, origin)})
    assert found.replay
    assert found.replay.matches
    assert found.replay.events[0].read_from == "log"
    assert found.replay.decision.repeated


def test_without_the_log_a_replay_goes_by_what_the_alert_kept(tmp_path: Path) -> None:
    found = explain(tmp_path, alert(tmp_path, event()), {})
    assert found.replay
    assert found.replay.events[0].read_from == "evidence"
    assert found.replay.matches


@pytest.mark.parametrize(
    "fields",
    [{"id": "other", "text": TEXT}, {"id": "e-1"}, {"id": "e-1", "text": 5}],
    ids=["another event", "no text", "unreadable now"],
)
def test_a_record_that_is_not_the_event_is_not_taken_for_it(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    origin = Origin("news", 0, 1)
    found = explain(tmp_path, alert(tmp_path, event()), {origin: record(fields, origin)})
    assert found.replay
    assert found.replay.events[0].read_from == "evidence"


def test_scores_that_differ_are_said(tmp_path: Path) -> None:
    other = event(heads=scores(sentiment=("negative", 0.5)))
    found = explain(tmp_path, alert(tmp_path, other), {})
    assert found.replay
    assert not found.replay.matches
    assert found.replay.events[0].difference > MAX_DIFFERENCE


def test_a_changed_rule_and_a_lost_one_are_said(tmp_path: Path) -> None:
    raised = alert(tmp_path, event())
    changed = explain(tmp_path, raised, {}, when='sentiment.label == "positive"')
    assert changed.rule_changed
    assert changed.replay
    assert "the rule was changed" in changed.replay.decision.why
    lost = explain(tmp_path, msgspec.structs.replace(raised, rule="gone"), {})
    assert (lost.rule, lost.rule_changed) == (None, True)
    assert lost.replay
    assert "hold no 'gone'" in lost.replay.decision.why


@pytest.mark.parametrize(
    ("when", "signal", "repeats"),
    [
        ("signal.sentiment < -0.5", -0.7, True),
        ("signal.sentiment < -0.5", -0.3, False),
        ("event.novelty < 0.5", 0.0, True),
    ],
)
def test_a_decision_goes_by_what_was_known_then(
    tmp_path: Path, when: str, signal: float, repeats: bool
) -> None:
    own = settings(tmp_path, when)
    (rule,) = read_rule_file(own.alerting.rules).rules.values()
    raised = alert(tmp_path, event(novelty=0.25), signal=dict.fromkeys(FIGURES, signal))
    raised = msgspec.structs.replace(raised, rule_version=rule.version)
    found = explain(tmp_path, raised, {}, when=when)
    assert found.replay
    assert found.replay.decision.repeated == repeats


@pytest.mark.parametrize(
    ("when", "kept", "repeats", "known"),
    [
        ("signal.negative >= 0.66664", 0.6666, True, False),
        ("signal.negative > 0.6666", 0.6666, True, False),
        ("signal.negative > 0.6667", 0.6666, False, True),
        ("signal.negative > 0.6", 0.6666, True, True),
        ("signal.negative >= 0.66664 && signal.volume < 0.66656", 0.6666, True, False),
        ("signal.events > 3.0", 3.0, False, True),
        ("has(signal.volume) && signal.volume_z > 0.66664", 0.6666, True, False),
    ],
)
def test_a_threshold_that_the_digits_kept_leave_open_is_the_same_and_said(
    tmp_path: Path, when: str, kept: float, repeats: bool, known: bool
) -> None:
    own = settings(tmp_path, when)
    (rule,) = read_rule_file(own.alerting.rules).rules.values()
    raised = alert(tmp_path, event(), signal=dict.fromkeys(FIGURES, kept))
    raised = msgspec.structs.replace(raised, rule_version=rule.version)
    found = explain(tmp_path, raised, {}, when=when)
    assert found.replay
    assert found.replay.decision.repeated == repeats
    assert ("4 digits" not in found.replay.decision.why) == known


def test_figures_beyond_those_that_can_be_tried_together_are_each_tried_alone() -> None:
    kept = dict.fromkeys(FIGURES, 0.5)
    asked = 0

    def ask(signal: Mapping[str, float]) -> bool:
        nonlocal asked
        asked += 1
        return signal["volume_z"] < 0.50001

    assert possible_answers(ask, kept, {"*"}) == {True, False}
    assert asked <= 2 * len(FIGURES) + 1


def test_a_decision_that_does_not_repeat_is_said(tmp_path: Path) -> None:
    calm = event(text="positive earnings low")
    found = explain(tmp_path, alert(tmp_path, calm), {})
    assert found.replay
    assert not found.replay.decision.repeated
    assert "does not hold" in found.replay.decision.why


@pytest.mark.parametrize(
    ("text", "repeats"),
    [("positive earnings low", True), ("neutral earnings low", False), (None, True)],
    ids=["by an event", "by one that would not", "by a person"],
)
def test_the_end_of_an_alert_is_asked_of_the_event_that_ended_it(
    tmp_path: Path, text: str | None, repeats: bool
) -> None:
    end = text and evidence(event(id="e-2", text=text, heads=FakeExplainer().scores(text)))
    found = explain(tmp_path, alert(tmp_path, event(), state="resolved", ended_by=end or None), {})
    assert found.replay
    assert [one.event_id for one in found.replay.events] == ["e-1", "e-2"][: 2 if text else 1]
    assert found.replay.decision.repeated == repeats
    assert [one.event_id for one in found.events] == ["e-1"]


def test_a_head_that_one_of_both_lacks_never_matches() -> None:
    before = evidence(scored(heads={"sentiment": scores()["sentiment"]}))
    assert compare(before, before.scores, "log", DEFAULT_HEADS).matches
    for now in (scores(), {}):
        found = compare(before, now, "log", DEFAULT_HEADS)
        assert (found.matches, found.difference) == (False, 1.0)


@pytest.mark.parametrize(
    ("before", "now", "matches"),
    [
        # As packed int8 beside fp32 on a healthy system.
        (("negative", 0.95, False), ("negative", 0.917, False), True),
        (("negative", 0.95, False), ("negative", 0.7, False), False),
        (("negative", 0.52, False), ("positive", 0.52, False), False),
        (("negative", 0.82, False), ("negative", 0.79, True), True),
        (("negative", 0.82, False), ("positive", 0.79, True), False),
        (("negative", 0.45, True), ("neutral", 0.44, True), True),
        # As where the language of the text counts as unreadable now.
        (("negative", 0.95, False), ("negative", 0.95, True), False),
    ],
)
def test_a_replay_forgives_what_rounding_does_and_nothing_else(
    before: tuple[str, float, bool], now: tuple[str, float, bool], matches: bool
) -> None:
    then, again = (
        scores(
            sentiment=(label, confidence),
            abstained=("sentiment",) if abstained else (),
        )
        for label, confidence, abstained in (before, now)
    )
    # The calibration of the event's own kind counts.
    heads = [
        msgspec.structs.replace(head, by_kind={"news": Calibration(abstain_below=0.8)})
        for head in DEFAULT_HEADS
    ]
    assert compare(evidence(scored(heads=then)), again, "log", heads).matches == matches


def test_rounding_over_a_threshold_of_the_rule_is_no_other_decision(tmp_path: Path) -> None:
    when = 'sentiment.label == "negative" && sentiment.confidence >= 0.92'
    (rule,) = read_rule_file(settings(tmp_path, when).alerting.rules).rules.values()
    # The stub answers with 0.9 now.
    then = event(heads=FakeExplainer().scores(TEXT) | {"sentiment": rounded("negative", 0.93)})
    raised = msgspec.structs.replace(alert(tmp_path, then), rule_version=rule.version)
    found = explain(tmp_path, raised, {}, when=when)
    assert found.replay
    assert found.replay.matches
    assert found.replay.decision.repeated


def test_a_text_that_the_model_cannot_read_is_said_to_be_so(tmp_path: Path) -> None:
    chinese = "苹果公司股价暴跌，投资者损失惨重"
    heads = abstain(FakeExplainer().scores(chinese))
    raised = alert(tmp_path, event(text=chinese, heads=heads, lang="zh"))
    found = explain(tmp_path, raised, {})
    (one,) = found.events
    assert one.explained.unreadable == "language zh, the model reads en"
    assert one.explained.heads["sentiment"].score.abstained
    assert found.replay
    assert found.replay.events[0].matches


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("苹果公司股价暴跌", ("unreadable: language zh", "abstained: unreadable")),
        ("Die Aktie ist um acht Prozent gefallen", ("unreadable: language de",)),
        ("hm", ("unreadable: fewer than two words",)),
        ("unsure whether it is negative", ("0.40, abstained: below 0.70",)),
        ("negative news", ("negative 0.90  (",)),
    ],
)
def test_a_text_is_explained_as_the_stream_would_take_it(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: tuple[str, ...]
) -> None:
    monkeypatch.setattr("stream.terminal.show.stdout._width", 200)  # width would stay set
    heads = [
        msgspec.structs.replace(head, calibration=Calibration(abstain_below=0.7))
        for head in DEFAULT_HEADS
    ]
    explainer = FakeExplainer(StubPredictor(heads=heads))
    monkeypatch.setattr(explainers, "load_explainer", lambda *_: explainer)
    ran = CliRunner().invoke(
        explain_command,
        ["--text", text, "--head", "sentiment", "--examples", "0"],
        obj=Settings(),
        catch_exceptions=False,
    )
    assert [one for one in expected if one not in ran.stdout] == []
    assert ("unreadable" in ran.stdout) == expected[0].startswith("unreadable")


def test_what_is_printed_steers_no_terminal(tmp_path: Path, monkeypatch: Any) -> None:
    origin = Origin("news", 0, 1)
    found = explain(tmp_path, alert(tmp_path, event()), {origin: record({"id": "e-1"}, origin)})
    with show.stdout.capture() as captured:
        explanation_view.print_alert(found)
        text = explain_text(FakeExplainer(), nearest, TEXT, heads=["topic"], kind="", unreadable="")
        explanation_view.print_text(text)
    printed = captured.get()
    assert "\x1b]0" not in printed
    assert "\x1b[31mred" not in printed
    for expected in (r"\x1b[31mred", "Trouble", "1.235", "2 copies", "no small edit", "replay"):
        assert expected in printed


def test_words_are_quoted_since_they_keep_their_commas() -> None:
    words = (Word("crashing,", 1.11, True), Word("lost", 0.98, True))
    weighed = Attribution("topic", "other", 0.9, 2.0, -1.0, 0.01, 32, words)
    assert str(explanation_view._strongest(weighed)) == '"crashing," +1.11, "lost" +0.98'


def test_what_the_windows_held_is_shown_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.terminal.show.stdout.width", 2_000)
    raised = alert(tmp_path, event())
    figures = {f"figure_{number}": number for number in range(60)}
    found = explain(tmp_path, msgspec.structs.replace(raised, signal=figures), {})
    with show.stdout.capture() as captured:
        explanation_view.print_alert(found)
    assert "figure_59 59" in captured.get()


def test_what_ended_an_alert_is_not_shown_as_what_raised_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.terminal.show.stdout.width", 200)
    last = event()
    ended = alert(tmp_path, last, state="resolved", ended_by=evidence(last))
    found = explain(tmp_path, msgspec.structs.replace(ended, condition="signal.volume < 2.0"), {})
    with show.stdout.capture() as captured:
        explanation_view.print_alert(found)
    assert "ended on           signal.volume < 2.0" in captured.get()
    assert "signal at its end" in captured.get()
