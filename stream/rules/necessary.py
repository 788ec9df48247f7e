"""Comparisons without which a condition can't hold, checked before CEL is asked. Pure.

Giving CEL an event's values costs more than most rules take to answer, and most rules hold for few
events. In `a && b`, false on one side is false whatever the other side is, an error included, so
the plain comparisons that a condition joins by && may be looked at first.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection

import msgspec

from models.spec import Scores
from stream.rules.operands import joints

Test = Callable[[Scores], bool]
Comparison = tuple[str, Callable[[float, float], bool], float]
"""What is compared, how, and with what."""

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_WORD = r"([A-Za-z_]\w*)"
_LABEL = re.compile(rf"""{_WORD}\.label (==|!=) (?:"([^"\\]*)"|'([^'\\]*)')""")
_ABSTAINED = re.compile(rf"(!?) ?{_WORD}\.abstained")
_CONFIDENCE = re.compile(rf"{_WORD}\.confidence (<=?|>=?) {_NUMBER}")
_SUBJECT = re.compile(rf"subject\.(relevance|novelty) (<=?|>=?) {_NUMBER}")
_SIGNAL = re.compile(rf"signal\.{_WORD} (<=?|>=?) {_NUMBER}")
_STRING = re.compile(r"""[rRbB]*(?:"[^"\\]*"|'[^'\\]*')""")


class Necessary(msgspec.Struct, frozen=True):
    """Comparisons on heads' answers, a subject's numbers and its figures; all of them must hold.

    label is a head and what it must have said, one of those comparisons. compared names the heads
    that they are about. whole: the condition is nothing but them.
    """

    heads: tuple[Test, ...] = ()
    subject: tuple[Comparison, ...] = ()
    signals: tuple[Comparison, ...] = ()
    label: tuple[str, str] | None = None
    compared: frozenset[str] = frozenset()
    whole: bool = False

    def may_hold(self, scores: Scores) -> bool:
        """False if the condition is false for every subject of an event with these scores."""
        for test in self.heads:  # noqa: SIM110 - runs for every rule and event
            if not test(scores):
                return False
        return True

    def suffices(self, scores: Scores) -> bool:
        """Whether the condition holds where all comparisons do; else that is CEL's to say."""
        return self.whole and self.compared <= scores.keys()


def find_necessary(expression: str, heads: Collection[str]) -> Necessary:
    """What can be told without CEL; nothing for a condition that is not joined by && alone."""
    tests: list[Test] = []
    subject: list[Comparison] = []
    signals: list[Comparison] = []
    label: tuple[str, str] | None = None
    compared: set[str] = set()
    parts = _conjuncts(expression)
    for part in parts:
        if (found := _SIGNAL.fullmatch(part)) is not None:
            signals.append((found[1], _OPERATORS[found[2]], float(found[3])))
        elif (found := _SUBJECT.fullmatch(part)) is not None:
            subject.append((found[1], _OPERATORS[found[2]], float(found[3])))
        elif (test := _head_test(part, heads)) is not None:
            tests.append(test)
            label = label or _needed_label(part)
            compared.add(part.lstrip("! ").partition(".")[0])
    # What compares with a baseline takes longest to work out.
    signals.sort(key=lambda one: one[0].startswith("sources_") or one[0].endswith("_z"))
    return Necessary(
        heads=tuple(tests),
        subject=tuple(subject),
        signals=tuple(signals),
        label=label,
        compared=frozenset(compared),
        whole=bool(parts) and len(tests) + len(subject) + len(signals) == len(parts),
    )


def _conjuncts(expression: str) -> list[str]:
    """The parts that && joins at the top, with single spaces; none if there is more than that."""
    if "//" in expression or "\\" in expression or '"""' in expression or "'''" in expression:
        return []
    # Strings may hold signs and brackets of their own.
    bare = _STRING.sub(lambda found: " " * len(found[0]), expression)
    ends = joints(bare, 0, len(bare))
    if any(bare.startswith("||", end) for end in ends):
        return []
    starts = [0, *(end + 2 for end in ends)]
    return [_spaced(expression[start:end]) for start, end in zip(starts, ends, strict=False)]


def _spaced(part: str) -> str:
    """Sentiment . label=="x" becomes sentiment.label == "x"."""
    pieces = re.split(r"""("[^"]*"|'[^']*')""", part)
    for place in range(0, len(pieces), 2):
        spaced = re.sub(r"\s*(==|!=|<=|>=|<|>)\s*", r" \1 ", pieces[place])
        pieces[place] = re.sub(r"\s*\.\s*", ".", re.sub(r"\s+", " ", spaced))
    return "".join(pieces).strip()


def is_rising(compare: Callable[[float, float], bool]) -> bool:
    """Whether what a comparison holds for holds for every greater figure too."""
    return compare in {operator.gt, operator.ge}


def _needed_label(part: str) -> tuple[str, str] | None:
    found = _LABEL.fullmatch(part)
    return (found[1], found[3] or found[4] or "") if found and found[2] == "==" else None


def _head_test(part: str, heads: Collection[str]) -> Test | None:
    if (found := _LABEL.fullmatch(part)) and found[1] in heads:
        return _label_test(found[1], found[2] == "==", found[3] or found[4] or "")
    if (found := _ABSTAINED.fullmatch(part)) and found[2] in heads:
        return _abstained_test(found[2], wanted=not found[1])
    if (found := _CONFIDENCE.fullmatch(part)) and found[1] in heads:
        return _confidence_test(found[1], _OPERATORS[found[2]], float(found[3]))
    return None


# A record of an older model may lack a head; what that means is CEL's to say.


def _label_test(head: str, equal: bool, label: str) -> Test:
    def test(scores: Scores) -> bool:
        score = scores.get(head)
        return score is None or (score.label == label) is equal

    return test


def _abstained_test(head: str, *, wanted: bool) -> Test:
    def test(scores: Scores) -> bool:
        score = scores.get(head)
        return score is None or score.abstained is wanted

    return test


def _confidence_test(head: str, compare: Callable[[float, float], bool], bound: float) -> Test:
    def test(scores: Scores) -> bool:
        score = scores.get(head)
        return score is None or compare(score.confidence, bound)

    return test
