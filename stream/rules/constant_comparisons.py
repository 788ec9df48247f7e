"""Refuses comparisons with the same result for every event, as with 90 where 0.9 is meant. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from models.spec import Head
from stream.names import SOURCE_KINDS
from stream.rules.variables import sample

_SHARES = ("negative", "neutral", "positive", "high_risk")
_RANGES = {
    **dict.fromkeys(("confidence", "relevance", "novelty"), (0, 1)),
    **dict.fromkeys((*_SHARES, *(f"{name}_long" for name in _SHARES)), (0, 1)),
    **dict.fromkeys(("sentiment", "sentiment_long"), (-1, 1)),
    **dict.fromkeys(("sources_down", "sources_up"), (0, len(SOURCE_KINDS))),
}
"""Least and most of a field or figure, both of which occur."""
_OF_RECORDS = {"event": "event.text", "subject": "subject.id", "signal": "signal.sentiment"}

# *+ gives nothing back: else a long name is tried in all the ways it falls into parts.
_NAME = r"([A-Za-z_]\w*+)"
_VALUE = _NAME + r"\.(scores\.\w+|\w+)"
_SIGN = r"\s*(<=?|>=?|==|!=)\s*"
_NUMBER = r"(-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?[uU]?)"
# Only where nothing is reckoned on either side, as in 2.0 * sentiment.confidence > 1.5.
_BEFORE = r"(?:^|&&|\|\||[(\[?:,])[\s!]*"
_AFTER = r"(?=\s*(?:$|&&|\|\||[)\]?:,]))"
_VALUE_FIRST = re.compile(_BEFORE + _VALUE + _SIGN + _NUMBER + _AFTER)
_NUMBER_FIRST = re.compile(_BEFORE + _NUMBER + _SIGN + _VALUE + _AFTER)
_CONSTANT = r"(b?''|-?\d[\w.]*|true\b|false\b|null\b)"
_LIST = r"(\[[^\[\]]*\])(?!\s*[\[.])"
_EQUAL_FIRST = re.compile(rf"{_BEFORE}{_VALUE}\s*[=!]=\s*(?:{_CONSTANT}|{_LIST})")
_EQUAL_BEHIND = re.compile(rf"{_BEFORE}(?:{_CONSTANT}|{_LIST})\s*[=!]=\s*{_VALUE}{_AFTER}")
_TICKERS_IN = re.compile(rf"(?<![\w.\])])event\.tickers\s+in\s*\[\s*{_CONSTANT}")
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_KIND_NAMES = (
    (bool, "true or false"),
    (str, "a text"),
    ((int, float), "a number"),
    (list, "a list"),
    (dict, "a map"),
)
# A comparison with null asks whether there is one.
_RECORD_FIRST = re.compile(rf"(?<![\w.\])]){_NAME}\s*(?:[<>=!]=|<|>)(?!\s*null\b)")
_RECORD_BEHIND = re.compile(rf"(?<!null)(?<!null\s)(?:[<>=!]=|<|>)\s*{_NAME}(?!\s*[.\[('])")
_DOT = re.compile(r"\s*\.\s*")


def find_constant_comparison(bare: str, heads: Sequence[Head], bound: Collection[str] = ()) -> str:
    """What is wrong with the first such comparison of a condition, "" if none.

    bare has '' for every string and b'' for bytes, and no comments.
    bound are the names that macros bind (x in list.exists(x, ...)), whatever else has the name.
    >= and <= at the ends of a range pass: people mean "any" by them.
    """
    bare = _DOT.sub(".", bare)
    records = {**_OF_RECORDS, **{head.name: f"{head.name}.label" for head in heads}}
    for name in bound:
        records.pop(name, None)
    for name in (*_RECORD_FIRST.findall(bare), *_RECORD_BEHIND.findall(bare)):
        if name in records:
            return f"compares {name}, which is no single value; write {records[name]} or its like"
    comparisons = _VALUE_FIRST.findall(bare) + [
        (name, of, _TURNED.get(sign, sign), number)
        for number, sign, name, of in _NUMBER_FIRST.findall(bare)
    ]
    for name, of, sign, number in comparisons:
        span = (0, 1) if of.startswith("scores") else _RANGES.get(of)
        if name not in records or span is None:
            continue
        least, most = span
        value = float(number.rstrip("uU"))
        if not least <= value <= most or (sign, value) in {("<", least), (">", most)}:
            return (
                f"asks whether {name}.{of} {sign} {number}, but it is from {least} to {most}, so "
                "that every event gives the same answer; write a number in between"
            )
    return _unlike_kinds(
        bare, {name: value for name, value in sample(heads).items() if name in records}
    )


def _unlike_kinds(bare: str, values: Mapping[str, Any]) -> str:
    """What is wrong with the first == or != between what is never the same."""
    equal = [(name, of, *constant) for name, of, *constant in _EQUAL_FIRST.findall(bare)]
    equal += [(name, of, *constant) for *constant, name, of in _EQUAL_BEHIND.findall(bare)]
    for name, of, single, several in equal:
        field, _, label = of.partition(".")
        value = values.get(name, {}).get(field)
        if label and isinstance(value, dict):
            value = value.get(label)
        kind, other = _kind(value), "a list" if several else _constant_kind(single)
        if value is not None and kind != other:
            remedy = "; write 'X' in event.tickers" if kind == "a list" else ""
            return (
                f"asks whether {name}.{of}, which is {kind}, equals {other}, so that every event "
                f"gives the same answer{remedy}"
            )
    if "event" in values and _TICKERS_IN.search(bare):
        return (
            "asks whether event.tickers, which is a list, is one of some texts; write "
            "event.tickers.exists(t, t in ['X', 'Y'])"
        )
    return ""


def _kind(value: object) -> str:
    return next((name for kind, name in _KIND_NAMES if isinstance(value, kind)), "a time")


def _constant_kind(constant: str) -> str:
    if constant in {"true", "false"}:
        return "true or false"
    if constant == "null":
        return "null"
    if constant == "b''":
        return "bytes"
    return "a text" if constant == "''" else "a number"
