"""What judging costs: CPU time of windows, rules and episodes a record, in one thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec

from stream.alerts.episodes import Episodes
from stream.backtesting.backtest import Backtest
from stream.backtesting.scored_log import read_file
from stream.config.signals import Signals
from stream.records import Origin, decode_scored, encode
from stream.rules.rule_file import Rule
from stream.rules.rule_set import Known, RuleSet
from stream.runtime.heap import spare_long_lived
from stream.signals.memory import SubjectWindows

QUIET_S = 86_400.0

# Of ten rules, four are asked about the figures of each ticker; thresholds vary by number.
TEMPLATES = (
    {
        "when": 'sentiment.label == "negative" && sentiment.confidence >= 0.9{n:02}'
        " && !sentiment.abstained",
        "subject": "ticker",
        "sources": ("news",),
    },
    {
        "when": 'sentiment.label == "negative" && sentiment.confidence >= 0.9{n:02}'
        ' && risk.label != "low" && subject.relevance >= 0.5 && signal.negative >= 0.6',
        "subject": "ticker",
        "sources": ("social",),
    },
    {
        "when": "signal.scored >= 3.{n:02} && signal.sentiment <= -0.25"
        " && signal.sentiment_z <= -2.0",
        "resolve": "signal.sentiment_z > -0.5",
        "subject": "ticker",
    },
    {
        "when": "signal.volume >= 4.{n:02} && signal.scored >= 3.0 && signal.volume_z >= 6.0",
        "resolve": "signal.volume_z < 2.0",
        "subject": "ticker",
    },
    {
        "when": "signal.sources_down >= 2 && signal.scored >= 3.{n:02}"
        " && signal.sentiment_z <= -2.0",
        "subject": "ticker",
    },
    {
        "when": 'risk.label == "high" && risk.confidence >= 0.8{n:02} && !risk.abstained',
        "subject": "customer",
        "sources": ("ticket",),
    },
    {
        "when": 'topic.label == "fraud_security" && topic.confidence >= 0.8{n:02}',
        "subject": "topic",
        "sources": ("ticket",),
    },
    {
        "when": "signal.ticket_volume >= 5.{n:02} && signal.volume_z >= 5.0",
        "resolve": "signal.volume_z < 2.0",
        "subject": "topic",
        "sources": ("ticket",),
    },
    {
        "when": "signal.volume >= 50.{n:02} && signal.volume_z >= 8.0",
        "resolve": "signal.volume_z < 3.0",
        "subject": "source",
    },
    {
        "when": 'risk.label == "high" && risk.confidence >= 0.9{n:02}',
        "subject": "ticker",
    },
)


def measure(path: Path, count: int, rules: int) -> dict[str, float]:
    """Records per CPU-second: decoding, a backtest, and the rules as a worker asks them.

    path is what `bellwether score` writes; it is repeated, each time later, to count records.
    """
    made = _rules(rules)
    run = Backtest({"": RuleSet(made)}, signals=Signals(), quiet_s=QUIET_S)
    live = _Live(made)
    spare_long_lived()
    decoding = backtest = hot_path = 0.0
    # Only what is measured runs between two looks at the clock: a slice is made before, and thrown
    # away after.
    for lines in _slices(path, count):
        began = time.process_time()
        for line in lines:
            decode_scored(line)
        decoded = time.process_time()
        for line in lines:
            run.feed(decode_scored(line))
        fed = time.process_time()
        decoding += decoded - began
        backtest += fed - decoded
        hot_path += live.judge(lines)
    print(f"{run.records} records, {rules} rules: {run.outcome('').transitions} transitions")
    return {
        "decoding alone": count / decoding,
        f"backtest with {rules} rules": count / backtest,
        f"{rules} rules on the hot path": count / hot_path,
    }


class _Live:
    """Windows given and alerts known beforehand, as Redis answers a worker once a micro-batch."""

    def __init__(self, rules: dict[str, Rule]) -> None:
        self._rules = RuleSet(rules, clock=time.perf_counter)
        self._windows = SubjectWindows(Signals())
        self._episodes = Episodes(quiet_s=QUIET_S)

    def judge(self, lines: list[bytes]) -> float:
        """CPU-seconds of the rules, the looks at the clock (under 1 us a record) among them."""
        spent = 0.0
        for line in lines:
            scored = decode_scored(line)
            around = self._windows.observe(scored)
            began = time.process_time()
            matches = self._rules.match(scored, around, Known(self._episodes.known))
            spent += time.process_time() - began
            for match in matches:
                self._episodes.raise_alert(scored, match)
        return spent


def _rules(count: int) -> dict[str, Rule]:
    made = {}
    for number in range(count):
        template = TEMPLATES[number % len(TEMPLATES)]
        fields = {
            name: value.format(n=number // len(TEMPLATES)) if name == "when" else value
            for name, value in template.items()
        }
        rule = {"name": f"r{number}", "severity": "info", "title": "{subject}", **fields}
        made[f"rule {number}"] = msgspec.convert(rule, Rule)
    return made


def _slices(path: Path, count: int) -> Iterator[list[bytes]]:
    records = list(read_file(path))
    times = [one.time for one in records]
    length = max(times) - min(times) + timedelta(minutes=1)
    for start in range(0, count, len(records)):
        later = start // len(records) * length
        yield [
            encode(
                msgspec.structs.replace(
                    one,
                    time=one.time + later,
                    origin=Origin(one.origin.topic, one.origin.partition, start + place),
                )
            )
            for place, one in enumerate(records[: count - start])
        ]
