"""The API's answer to what another threshold of an alert's rule would have done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from models.spec import Head
from stream.backtesting.backtest import Backtest, compare
from stream.backtesting.scored_log import place_of
from stream.backtesting.sweep import thresholds, variants
from stream.config.settings import Settings
from stream.console.errors import RefusedError
from stream.console.operations import Call, Operation
from stream.records import Alert, Scored
from stream.rules.rule_error import RuleError
from stream.rules.rule_file import RuleFile, read_rule_file
from stream.rules.rule_set import RuleSet

SHARE_STEPS = (-0.1, -0.05, 0.05, 0.08)
"""Added to a threshold of a probability."""
FACTORS = (0.5, 0.75, 1.5, 2.0)
"""Any other threshold times these."""
SHOWN = 12
AS_IT_IS = "as it is"


class WouldBe(msgspec.Struct, frozen=True):
    """An alert that the kept events would have raised."""

    subject: str
    title: str
    fired_at: datetime


class Tried(msgspec.Struct, frozen=True):
    """One value: its alerts, and those lost and gained against the rule as it is, the first ones.

    keeps says whether this alert's subject would have been alerted at all.
    """

    value: str
    now: bool
    alerts: int
    lost: int
    gained: int
    keeps: bool
    lost_first: list[WouldBe]


class Threshold(msgspec.Struct, frozen=True):
    """What `when` compares with a number, and what other numbers would have done."""

    name: str
    tried: list[Tried]


class ThresholdsAnswer(msgspec.Struct, frozen=True):
    """Over the scored events that the console keeps: so many, since then.

    rule_changed says that the rule is another one now than the one that raised the alert.
    """

    rule: str
    when: str
    rule_changed: bool
    events: int
    since: datetime | None
    thresholds: list[Threshold]


async def show_thresholds(call: Call) -> ThresholdsAnswer:
    services = call.services
    alert = await services.alert(call.path["id"])
    scored = services.recent.scored

    def work() -> ThresholdsAnswer:
        settings = services.settings
        file = read_rule_file(settings.alerting.rules, settings.subjects.fields)
        where = next((place for place, one in file.rules.items() if one.name == alert.rule), "")
        if not where:
            raise RefusedError(
                f"{file.where} has no rule {alert.rule!r}, so it can't be tried with other "
                "thresholds; alerting.rules of the console must be the workers' file"
            )
        rule = file.rules[where]
        tried = try_all(
            settings, services.heads(), file, where=where, scored=scored, subject=alert.subject
        )
        return ThresholdsAnswer(
            rule=rule.name,
            when=rule.when.strip(),
            rule_changed=rule.version != alert.rule_version,
            events=len(scored),
            since=min((event.time for event in scored), default=None),
            thresholds=tried,
        )

    if services.trying.locked():
        raise RefusedError("other thresholds are being tried for somebody; ask again in a moment")

    async def alone() -> ThresholdsAnswer:
        async with services.trying:
            return await asyncio.to_thread(work)

    # Who asked may go away; the thread can't be stopped, and nobody else may begin beside it.
    return await asyncio.shield(asyncio.create_task(alone()))


def try_all(
    settings: Settings,
    heads: tuple[Head, ...],
    file: RuleFile,
    *,
    where: str,
    scored: Sequence[Scored],
    subject: str,
) -> list[Threshold]:
    """Every threshold of the rule at that place, with values around its own, in one pass."""
    rule = file.rules[where]
    as_it_is = {where: msgspec.structs.replace(rule, enabled=True)}
    rules = {AS_IT_IS: RuleSet(as_it_is, heads, signals=settings.signals)}
    own = thresholds(rule)
    around = {path: values_around(path, number) for path, number in own.items()}
    for path, values in around.items():
        # Nothing lies around 0 where values are multiples.
        found = variants(file, f"{rule.name}.{path}={','.join(values)}") if values else {}
        for value, changed in found.items():
            # Twice a share of 0.6 is more than there is, which no rule may ask for.
            with contextlib.suppress(RuleError):
                rules[f"{path}={value}"] = RuleSet(changed, heads, signals=settings.signals)
    run = Backtest(rules, signals=settings.signals, quiet_s=settings.alerting.quiet_s)
    # The console reads one partition after the other.
    for event in sorted(scored, key=place_of):
        run.feed(event)
    plain = run.outcome(AS_IT_IS).alerts
    answers = []
    for path, number in own.items():
        alerts = {number: plain}
        for value in around[path]:
            if (name := f"{path}={value}") in rules:
                alerts[value] = run.outcome(name).alerts
        tried = [
            _tried(value, alerts[value], plain, subject, now=value == number)
            for value in sorted(alerts, key=float)
        ]
        answers.append(Threshold(path, tried))
    return answers


def _tried(
    value: str, alerts: Sequence[Alert], plain: Sequence[Alert], subject: str, *, now: bool
) -> Tried:
    sides = compare(plain, alerts)
    lost = [WouldBe(one.subject, one.title, one.began) for one in sides.only_first[:SHOWN]]
    return Tried(
        value=written(float(value)),
        now=now,
        alerts=len(alerts),
        lost=len(sides.only_first),
        gained=len(sides.only_second),
        keeps=any(one.subject == subject for one in alerts),
        lost_first=lost,
    )


def values_around(path: str, number: str) -> list[str]:
    """Other values to try, the number's own left out; a probability stays in 0..1."""
    value = float(number)
    if path.startswith(("signal.", "event.attributes.")) or not 0 <= value <= 1:
        near = [value * factor for factor in FACTORS]
    else:
        near = [value + step for step in SHARE_STEPS if 0 < value + step < 1]
    return [one for one in dict.fromkeys(map(written, near)) if float(one) != value]


def written(value: float) -> str:
    """Four figures that count, as a rule file has numbers."""
    return f"{float(f'{value:.4g}'):f}".rstrip("0").rstrip(".")


def operations() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/alerts/{id}/thresholds",
        role="viewer",
        run=show_thresholds,
        answer=ThresholdsAnswer,
        summary="What other thresholds of its rule would have alerted lately",
    )
