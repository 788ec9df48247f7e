"""Explains an alert by the model that scored each event; a replay reads and judges them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from models.explanation import Attribution, Edit, Neighbour
from models.spec import BatchInfo, Predictor, Scores
from stream.config.settings import Settings
from stream.explain.explanation import (
    ExplainedAlert,
    ExplainedEvent,
    ExplainedHead,
    ExplainedText,
    Replay,
    Replayed,
    compare,
    decide,
)
from stream.explain.heads_used import heads_used
from stream.ingest.dead_letter import DeadLetter
from stream.ingest.language import detect_language
from stream.ingest.readable import abstain, why_unreadable
from stream.ingest.sources import Decoder
from stream.processing.judge import to_scored
from stream.records import Alert, Event, Evidence, Origin, RawRecord, Scored, model_text
from stream.rules.rule_file import Rule, read_rule_file
from stream.subjects.finder import SubjectFinder
from stream.subjects.novelty import marked

_NO_BATCH = BatchInfo(1, 0, 0.0, "replay")


class Explainer(Protocol):
    """models.explain.Explainer, as far as it is needed here."""

    @property
    def predictor(self) -> Predictor: ...
    def scores(self, text: str, kind: str = "") -> Scores: ...
    def attribute(self, text: str, head: str, label: str = "", kind: str = "") -> Attribution: ...
    def smallest_edit(self, text: str, attribution: Attribution, kind: str = "") -> Edit | None: ...


Nearest = Callable[[Explainer, str, str], list[Neighbour]]
"""Labelled examples near to a text, by explainer, head and text."""


def explain_text(
    explainer: Explainer,
    nearest: Nearest,
    text: str,
    *,
    heads: Sequence[str],
    kind: str,
    unreadable: str,
) -> ExplainedText:
    """With a reason in unreadable, which why_unreadable gives, every head abstains.

    Raises ModelError for a head that the model does not have.
    """
    scores = explainer.scores(text, kind)
    if unreadable:
        scores = abstain(scores)
    bounds = {
        head.name: head.calibrated_for(kind).abstain_below for head in explainer.predictor.heads
    }
    explained = {}
    for head in heads:
        attribution = explainer.attribute(text, head, kind=kind)
        explained[head] = ExplainedHead(
            score=scores[head],
            attribution=attribution,
            smallest_edit=explainer.smallest_edit(text, attribution, kind),
            nearest=nearest(explainer, head, text),
            abstain_below=bounds[head],
        )
    return ExplainedText(
        text=text,
        model=explainer.predictor.version,
        heads=explained,
        unreadable=unreadable,
    )


class _Read(NamedTuple):
    """An event of the evidence as the log holds it, or as the alert kept it of what is gone."""

    evidence: Evidence
    event: Event
    read_from: Literal["log", "evidence"]


class AlertExplainer:
    """Explains an alert by the models and rules of the settings."""

    def __init__(
        self,
        settings: Settings,
        explainer_of: Callable[[str], Explainer],
        nearest: Nearest,
        heads: Sequence[str] = (),
    ) -> None:
        """explainer_of gives the explainer of a model's version. heads: none for those of the rule.

        Raises SettingsError.
        """
        self._settings = settings
        self._explainer_of = explainer_of
        self._nearest = nearest
        self._heads = tuple(heads)
        self._subjects = SubjectFinder.load(settings.subjects)

    def explain(
        self, alert: Alert, copies: Sequence[int], again: Mapping[Origin, RawRecord] | None
    ) -> ExplainedAlert:
        """Copies of each event of the evidence; again are records read anew, None for no replay.

        Raises ModelError when a model is not to be had, RuleError when the rules can't be read.
        """
        last = self._explainer(alert, alert.evidence[-1])
        file = read_rule_file(self._settings.alerting.rules, self._settings.subjects.fields)
        rule = next((one for one in file.rules.values() if one.name == alert.rule), None)
        names = [head.name for head in last.predictor.heads]
        heads = self._heads or heads_used(rule.when if rule else "", names)
        read = [self._read(evidence, again or {}) for evidence in alert.evidence]
        return ExplainedAlert(
            alert=alert,
            rule=None if rule is None else msgspec.to_builtins(rule),
            rule_changed=rule is None or rule.version != alert.rule_version,
            related=self._related(alert),
            events=[
                self._explain_event(alert, one, count, heads)
                for one, count in zip(read, copies, strict=True)
            ],
            replay=None if again is None else self._replay(alert, rule, read, again),
        )

    def _explain_event(
        self, alert: Alert, read: _Read, copies: int, heads: Sequence[str]
    ) -> ExplainedEvent:
        evidence, event, _ = read
        text = model_text(event.title, event.text)
        return ExplainedEvent(
            event_id=evidence.event_id,
            source=evidence.source,
            time=evidence.time,
            origin=evidence.origin,
            copies=copies,
            scores=evidence.scores,
            explained=explain_text(
                self._explainer(alert, evidence),
                self._nearest,
                text,
                heads=heads,
                kind=evidence.source,
                unreadable=why_unreadable(text, event.lang, self._settings.model.languages),
            ),
        )

    def _replay(
        self,
        alert: Alert,
        rule: Rule | None,
        read: Sequence[_Read],
        again: Mapping[Origin, RawRecord],
    ) -> Replay:
        """Every event scored again, and the rule asked about the one of the last transition."""
        last = alert.ended_by or alert.evidence[-1]
        if last not in alert.evidence:
            read = [*read, self._read(last, again)]
        found = [self._score_again(alert, one) for one in read]
        scored, _ = found[[one.evidence for one in read].index(last)]
        heads = self._explainer(alert, alert.evidence[-1]).predictor.heads
        return Replay.of([replayed for _, replayed in found], decide(alert, rule, heads, scored))

    def _explainer(self, alert: Alert, evidence: Evidence) -> Explainer:
        return self._explainer_of(evidence.model or alert.model)

    def _read(self, evidence: Evidence, again: Mapping[Origin, RawRecord]) -> _Read:
        record = again.get(evidence.origin) if evidence.origin else None
        source = next(
            (one for one in self._settings.sources if record and one.topic == record.topic), None
        )
        if record and source:
            decoded = Decoder(source, self._settings.limits).decode(record, evidence.time)
            if not isinstance(decoded, DeadLetter) and decoded.id == evidence.event_id:
                return _Read(evidence, decoded, "log")
        event = Event(
            id=evidence.event_id,
            source=evidence.source,
            origin=evidence.origin or Origin("", 0, 0),
            key=None,
            text=evidence.text,
            time=evidence.time,
            received_at=evidence.time,
            title=evidence.title,
            lang=detect_language(evidence.text),
        )
        return _Read(evidence, event, "evidence")

    def _score_again(self, alert: Alert, read: _Read) -> tuple[Scored, Replayed]:
        evidence, event, read_from = read
        explainer = self._explainer(alert, evidence)
        now = explainer.scores(model_text(event.title, event.text), event.source)
        scored = self._scored(event, evidence, now, explainer)
        replayed = compare(evidence, scored.heads, read_from, explainer.predictor.heads)
        if replayed.matches:
            # What rounding moved over a rule's threshold must not look like another decision.
            scored = self._scored(event, evidence, evidence.scores, explainer)
        return scored, replayed

    def _scored(
        self, event: Event, evidence: Evidence, scores: Scores, explainer: Explainer
    ) -> Scored:
        scored = to_scored(
            event,
            scores,
            subjects=self._subjects,
            languages=self._settings.model.languages,
            model=explainer.predictor.version,
            batch=_NO_BATCH,
            now=event.received_at,
        )
        # What came before the event is not in it.
        return marked(scored, evidence.novelty, evidence.copy_of)

    def _related(self, alert: Alert) -> list[str]:
        kind, _, identity = alert.subject.partition(":")
        company = self._subjects.base.by_symbol.get(identity) if kind == "ticker" else None
        return list(company.related) if company else []
