"""Values that several commands take: times, matchers and their labels, names, remarks, ids."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import click

from stream.alerts.matchers import Matcher, MatcherError, parse_matcher
from stream.config.durations import seconds
from stream.config.settings import Settings
from stream.config.spelling import meant
from stream.ingest.event_time import parse_time
from stream.ingest.text import clean_remark
from stream.names import OWN_LABELS, is_alert_id
from stream.records import utc_now
from stream.rules.rule_error import RuleError
from stream.runtime.errors import StartError


class Finite(click.FloatRange):
    """A number within bounds that is one: open bounds let infinity through, and any bounds NaN."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


POSITIVE = Finite(min=0, min_open=True)


class Moment(click.ParamType):
    """A time as ISO 8601, or how long ago: 90s, 15m, 2h, 7d."""

    name = "TIME"
    spans_are = "an age"
    direction = -1

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return utc_now() + self.direction * timedelta(seconds=seconds(value))
        except ValueError:
            pass
        try:
            return parse_time(value)
        except ValueError:
            self.fail(
                f"{value!r} is neither an ISO 8601 time nor {self.spans_are} like 15m or 7d, "
                "up to 366d",
                param,
                ctx,
            )


class Start(Moment):
    """A time to come as ISO 8601, or in how long: 90s, 15m, 2h, 7d."""

    spans_are = "a span"
    direction = 1

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        start = super().convert(value, param, ctx)
        if start <= utc_now():
            self.fail(f"{value!r} is over; without it, what you make starts now", param, ctx)
        return start


def check_span(since: datetime | None, until: datetime | None) -> None:
    """Raises UsageError for a span that ends before it begins."""
    if since and until and since >= until:
        raise click.UsageError(
            f"--until {until.isoformat()} is not after --since {since.isoformat()}; swap the two"
        )


class Span(click.ParamType):
    """How long, in seconds: 90s, 15m, 2h, 7d."""

    name = "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return seconds(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class MatcherValue(click.ParamType):
    """A matcher over an alert's labels: rule=x, subject=~ticker:.*"""

    name = "MATCHER"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Matcher:
        if isinstance(value, Matcher):
            return value
        try:
            return parse_matcher(value)
        except MatcherError as error:
            self.fail(str(error), param, ctx)


class Remark(click.ParamType):
    """What a person says about an alert, on several lines or one; needed: it may not be blank."""

    name = "TEXT"

    def __init__(self, *, needed: bool = False) -> None:
        self._needed = needed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        remark = clean_remark(value)
        if self._needed and not remark:
            self.fail("is blank; write something", param, ctx)
        return remark


class Person(click.ParamType):
    """The name of somebody, on one line."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        person = " ".join(clean_remark(value).split())
        if not person:
            self.fail("is blank; name somebody", param, ctx)
        return person


class AlertId(click.ParamType):
    """Raises StartError for what no alert has as its id."""

    name = "ALERT_ID"

    def convert(
        self, value: Any, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> str:
        if not is_alert_id(value):
            raise StartError(
                f"alert {value!r} is not in Redis, as an id is written like 3f2c9a70b1d44e55-1 "
                "(`bellwether alerts list` shows the open ones)"
            )
        return str(value)


def warn_of_unknown(settings: Settings, *, labels: Iterable[str], rules: Iterable[str]) -> None:
    """One line on stderr for each label that no alert has, and each rule that there is not."""
    from stream.rules.rule_file import read_sound_rules

    try:
        file, _ = read_sound_rules(settings.alerting.rules, settings.subjects.fields)
    except RuleError:
        # Whoever only routes or silences need not have the workers' rules at hand.
        return
    set_labels = {*OWN_LABELS, *(name for rule in file.rules.values() for name in rule.labels)}
    _warn("no rule sets a label", labels, set_labels)
    _warn("there is no rule", rules, {rule.name for rule in file.rules.values()})


def _warn(what: str, names: Iterable[str], known: set[str]) -> None:
    for name in sorted(set(names) - known):
        click.echo(f"warning: {what} {name!r}; {meant(name, sorted(known))}", err=True)
