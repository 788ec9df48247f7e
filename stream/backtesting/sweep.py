"""One rule with a threshold of it varied, to see what each value would have cost. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from stream.backtesting.backtest import compare
from stream.config import durations
from stream.records import Alert
from stream.rules.conditions import blank
from stream.rules.rule_error import RuleError
from stream.rules.rule_file import Rule, RuleFile

MAX_VALUES = 20
DURATIONS = {"for": "for_", "cooldown": "cooldown", "quiet": "quiet"}

_SWEEP = re.compile(r"([a-z0-9-]+)\.([A-Za-z_][\w.]*)=([^=]+)")
# The whole number, with which nothing is reckoned: 0.8 in place of the 5 of 5e-1 would be 0.08.
_THRESHOLD = r"-?\d+(?:\.\d+)?(?![\w.]|\s*[-+*/%])"
_COMPARISON = re.compile(rf"(?<![\w.])([A-Za-z_]\w*(?:\.\w+)+)\s*[<>]=?\s*({_THRESHOLD})")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class Step(msgspec.Struct, frozen=True):
    """What one value would have alerted, compared with the value before it."""

    value: str
    alerts: int
    lost: list[Alert]
    gained: list[Alert]


def variants(file: RuleFile, sweep: str) -> dict[str, dict[str, Rule]]:
    """Value to the rule with it, from "RULE.PATH=0.8,0.85,0.9".

    PATH is for, cooldown or quiet, or what `when` compares with a number exactly once, such as
    sentiment.confidence or signal.sentiment_z. Raises RuleError.
    """
    found = _SWEEP.fullmatch(sweep)
    if found is None:
        raise RuleError(
            f"--sweep {sweep}: write RULE.NAME=VALUE,VALUE, as in r.risk.confidence=0.8,0.9"
        )
    name, path, values = found[1], found[2], found[3].split(",")
    if len(values) > MAX_VALUES:
        raise RuleError(f"--sweep {sweep}: gives {len(values)} values; {MAX_VALUES} at most")
    known = {rule.name: (where, rule) for where, rule in file.rules.items()}
    if name not in known:
        raise RuleError(
            f"--sweep {sweep}: no rule of {file.where} is {name!r}; there are {', '.join(known)}"
        )
    where, rule = known[name]
    return {
        value: {where: _with(rule, path, value, sweep)} for value in (one.strip() for one in values)
    }


def thresholds(rule: Rule) -> dict[str, str]:
    """What `when` compares with a number exactly once, and that number as it is written."""
    found = _COMPARISON.findall(blank(rule.when))
    times = Counter(path for path, _ in found)
    return {path: number for path, number in found if times[path] == 1}


def steps(outcomes: Mapping[str, Sequence[Alert]]) -> list[Step]:
    """Each value beside the one before it, in the order given."""
    made: list[Step] = []
    before: Sequence[Alert] | None = None
    for value, alerts in outcomes.items():
        difference = compare(alerts if before is None else before, alerts)
        made.append(Step(value, len(alerts), difference.only_first, difference.only_second))
        before = alerts
    return made


def _with(rule: Rule, path: str, value: str, sweep: str) -> Rule:
    if field := DURATIONS.get(path):
        try:
            durations.seconds(value)
        except ValueError as error:
            raise RuleError(f"--sweep {sweep}: {value!r}: {error}") from None
        return msgspec.structs.replace(rule, enabled=True, **{field: value})
    if not _NUMBER.fullmatch(value):
        raise RuleError(f"--sweep {sweep}: {value!r} is not a number")
    spaced = r"\s*\.\s*".join(re.escape(step) for step in path.split("."))
    comparison = re.compile(rf"(?<![\w.]){spaced}\s*[<>]=?\s*({_THRESHOLD})")
    found = list(comparison.finditer(blank(rule.when)))
    if len(found) != 1:
        once = ", ".join([*thresholds(rule), *DURATIONS])
        raise RuleError(
            f"--sweep {sweep}: rule {rule.name!r} compares {path} with a number {len(found)} times "
            f"in `when`; it must be once; sweep one of {once}"
        )
    when = f"{rule.when[: found[0].start(1)]}{value}{rule.when[found[0].end(1) :]}"
    return msgspec.structs.replace(rule, enabled=True, when=when)
