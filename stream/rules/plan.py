"""Which rules to ask about an event and a subject: those that may say something. Pure.

Most rules can't hold for most events. So a rule that needs a label stands under that label, and a
rule that needs a figure above or below a number stands on that figure's scale, in the order of the
numbers: those that can't hold are not even looked at.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Sequence

from models.spec import Scores
from stream.config.signals import Signals
from stream.rules.compiled import Compiled
from stream.rules.necessary import is_rising
from stream.signals.figures import Figure, figure_named
from stream.signals.windows import Windows


class Plan:
    """The rules for one kind of event: groups by the kind of subject that they are about.

    used: variable to the fields of it that any rule reads. lasting: kinds of subjects with a
    rule of which it matters that it does not hold.
    """

    def __init__(self, rules: Sequence[Compiled]) -> None:
        self.used: dict[str, set[str]] = {}
        by_kind: dict[str, list[Compiled]] = {}
        for compiled in rules:
            by_kind.setdefault(compiled.rule.subject, []).append(compiled)
            for name, fields in compiled.reads.items():
                self.used.setdefault(name, set()).update(fields)
        self.groups = {kind: Group(found) for kind, found in by_kind.items()}
        self.lasting = {one.rule.subject for one in rules if one.lasts}


class Group:
    """The rules about one kind of subject, in the order of the file."""

    def __init__(self, rules: Sequence[Compiled]) -> None:
        self._place = {compiled: place for place, compiled in enumerate(rules)}
        self._lasting = {one.rule.name: one for one in rules if one.lasts}
        self._by_label: dict[str, dict[str, list[Compiled]]] = {}
        self._others: list[Compiled] = []
        compared: list[Compiled] = []
        for compiled in rules:
            necessary = compiled.when.necessary
            if necessary.label:
                head, label = necessary.label
                self._by_label.setdefault(head, {}).setdefault(label, []).append(compiled)
            elif necessary.signals:
                compared.append(compiled)
            else:
                self._others.append(compiled)
        self._scales = _scales(compared)

    def said(self, heads: Scores) -> list[Compiled]:
        """The rules that what the heads said does not rule out, but for those on a scale."""
        found = [*self._others]
        for head, by_label in self._by_label.items():
            if score := heads.get(head):
                found += by_label.get(score.label, ())
            else:  # an older model's record; what that means is CEL's to say
                found += [one for rules in by_label.values() for one in rules]
        return [one for one in found if one.when.necessary.may_hold(heads)] if found else found

    def asked(
        self,
        said: Sequence[Compiled],
        windows: Windows | None,
        settings: Signals,
        known: Collection[str] | None,
    ) -> Sequence[Compiled]:
        """Every rule that may hold for a subject or has an alert or a wait about it.

        said is what said() gave for the event, windows are the subject's, and known names rules
        that have an alert or a wait, None for all.
        """
        found = said
        if windows is not None:
            for scale in self._scales:
                # Most figures reach nothing.
                if reached := scale.reached(windows, settings):
                    found = [*found, *reached]
        names = self._lasting if known is None else known
        if names and (lasting := [self._lasting[one] for one in names if one in self._lasting]):
            seen = set(found)
            found = [*found, *(one for one in lasting if one not in seen)]
        return sorted(found, key=self._place.__getitem__) if len(found) > 1 else found


def _scales(rules: Sequence[Compiled]) -> list[_Scale]:
    """Each rule on one of the figures that it needs, such that few figures are worked out."""
    bounds = {
        rule: {
            (figure, is_rising(compare)): bound
            for figure, compare, bound in rule.when.necessary.signals
        }
        for rule in rules
    }
    scales: list[_Scale] = []
    while bounds:
        shared = Counter(key for needed in bounds.values() for key in needed)
        [(key, _)] = shared.most_common(1)
        found = [(needed[key], rule) for rule, needed in bounds.items() if key in needed]
        figure, rising = key
        scales.append(_Scale(figure_named(figure), rising, found))
        for _, rule in found:
            del bounds[rule]
    return scales


class _Scale:
    """Rules that need a figure to be above their number (rising) or below it."""

    def __init__(self, figure: Figure, rising: bool, rules: list[tuple[float, Compiled]]) -> None:
        self._figure = figure
        self._rising = rising
        rules = sorted(rules, key=lambda one: one[0])
        self._bounds = [bound for bound, _ in rules]
        self._nearest = self._bounds[0 if rising else -1]
        self._rules = [compiled for _, compiled in rules]

    def reached(self, windows: Windows, settings: Signals) -> Sequence[Compiled]:
        """Those whose number is at most the figure, or at least if falling; itself among them."""
        value = self._figure(windows, settings)
        if self._rising:
            if value < self._nearest:
                return ()
            return self._rules[: bisect_right(self._bounds, value)]
        if value > self._nearest:
            return ()
        return self._rules[bisect_left(self._bounds, value) :]
