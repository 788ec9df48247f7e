"""One event before the rules: what they ask of it is worked out when it is first asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cel

from stream.config.signals import Signals
from stream.names import SOURCE_KINDS
from stream.records import Scored, Subject
from stream.rules.compiled import Condition
from stream.rules.necessary import Necessary
from stream.rules.templates import fill
from stream.rules.variables import of_event, of_subject
from stream.signals.figures import FIGURES, figure_named
from stream.signals.windows import Windows

SIGNAL_DIGITS = 4
_SOURCES = {kind: [Subject("source", kind)] for kind in SOURCE_KINDS}


class Question:
    """turn_to() says which subject is asked about.

    answers are those to conditions that no subject changes.
    """

    def __init__(
        self,
        scored: Scored,
        used: Mapping[str, set[str]],
        settings: Signals,
    ) -> None:
        """Used says which variables and fields of them the rules read at all."""
        self._scored = scored
        self._used = used
        self._settings = settings
        self._context: Any = None
        self._told: Subject | None = None
        self.answers: dict[Condition, bool | None] = {}

    def turn_to(self, subject: Subject, name: str, windows: Windows | None) -> None:
        """Name is "<kind>:<id>"."""
        self._subject = subject
        self.subject_name = name
        self._windows = windows
        self._known: dict[str, float] = {}
        self._rounded: dict[str, float] | None = None
        self.has_signal = self._windows is not None

    def without_cel(self, necessary: Necessary) -> bool | None:
        """What the comparisons that a condition can't do without say of it; None: CEL must."""
        if not necessary.may_hold(self._scored.heads):
            return False
        for name, compare, bound in necessary.subject:
            if not compare(getattr(self._subject, name), bound):
                return False
        for name, compare, bound in necessary.signals:
            if not compare(self.figure(name), bound):
                return False
        return True if necessary.suffices(self._scored.heads) else None

    def context(self, *, per_subject: bool) -> Any:
        """The cel.Context with the variables that rules read, if asked for those of the subject."""
        if self._context is None:
            self._context = cel.Context(variables=of_event(self._scored, self._used))
        if per_subject and self._told is not self._subject:
            self._told = self._subject
            for name, values in of_subject(self._subject, self._used).items():
                self._context.add_variable(name, values)
            if self.has_signal and (fields := self._used.get("signal")):
                wanted = FIGURES if "*" in fields else fields
                self._context.add_variable("signal", {name: self.figure(name) for name in wanted})
        return self._context

    def figures(self) -> dict[str, float]:
        """Every figure of the subject, rounded for people; none without windows."""
        if self._rounded is None:
            names = FIGURES if self.has_signal else ()
            self._rounded = {name: round(self.figure(name), SIGNAL_DIGITS) for name in names}
        return self._rounded

    def fill(self, template: str, signal: Mapping[str, float]) -> str:
        """A title or summary about the subject; signal are its figures."""
        return fill(template, self._scored, self._subject.id, signal)

    def figure(self, name: str) -> float:
        """One figure of the subject, 0 without windows."""
        value = self._known.get(name)
        if value is None:
            if self._windows is None:
                return 0.0
            value = self._known[name] = figure_named(name)(self._windows, self._settings)
        return value


def subjects_of(scored: Scored, kind: str) -> Sequence[Subject]:
    """What a rule about subjects of this kind may be about in an event."""
    if kind == "event":
        return [Subject("event", scored.id)]
    if kind == "source":
        return _SOURCES[scored.source]
    return [subject for subject in scored.subjects if subject.kind == kind]
