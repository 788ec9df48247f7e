"""rules and backtest: what rules say, and what they would have said."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream.commands.chosen_model import load_heads
from stream.commands.options import (
    FAILED,
    FILE,
    WRONG_USAGE,
    config_option,
    json_option,
    progress_bar,
)
from stream.commands.parameters import Moment, check_span
from stream.config.settings import Settings
from stream.rules.rule_error import RuleError
from stream.terminal import show

if TYPE_CHECKING:
    from stream.backtesting.backtest import Backtest, Judged
    from stream.backtesting.labels import Marks
    from stream.backtesting.rehearsal import Rehearsal
    from stream.records import Scored
    from stream.rules.rule_file import Rule, RuleFile

PROGRESS_EVERY = 1_000


@click.group()
def rules() -> None:
    """Check and test rule files."""


@rules.command()
@config_option
@click.argument("file", type=FILE)
@json_option
@click.pass_obj
def check(settings: Settings, file: Path, as_json: bool) -> None:
    """Every fault in FILE, with its line; exit code 2 if there is one."""
    count, faults, warnings = _checked(settings, file)
    if as_json:
        show.json_object(
            {"file": str(file), "rules": count, "faults": faults, "warnings": warnings}
        )
    else:
        for fault in faults:
            sys.stderr.write(f"bellwether: {fault}\n")
        for warning in warnings:
            click.echo(f"warning: {warning}", err=True)
        if not faults:
            show.record("checked", {"rules": count, "faults": 0}, as_json=False)
    if faults:
        sys.exit(WRONG_USAGE)


def _checked(settings: Settings, file: Path) -> tuple[int, list[str], list[str]]:
    """How many rules are in force by the file, its faults, and what else to say of it."""
    from stream.backtesting.rule_tests import check_tests
    from stream.rules.rule_file import forgotten_cooldowns, read_sound_rules
    from stream.rules.rule_set import RuleSet

    heads = load_heads(settings)
    count = 0
    try:
        sound, faults = read_sound_rules(file, settings.subjects.fields)
    except RuleError as error:
        return count, list(error.faults), []
    try:
        count = len(RuleSet(sound.rules, heads))
    except RuleError as error:
        faults += error.faults
    if not faults:  # an example may name a rule that a fault keeps out
        try:
            check_tests(sound, heads)
        except RuleError as error:
            faults += error.faults
    return count, faults, forgotten_cooldowns(sound, settings.alerting.keep_s)


@rules.command("test")
@config_option
@click.argument("file", type=FILE)
@json_option
@click.pass_obj
def run_examples(settings: Settings, file: Path, as_json: bool) -> None:
    """Run the [[test]] tables of FILE; exit code 1 if one fails."""
    from stream.backtesting.rule_tests import run_tests
    from stream.rules.rule_file import read_rule_file

    read = read_rule_file(file, settings.subjects.fields)
    verdicts = run_tests(read, load_heads(settings), settings)
    failed = [verdict for verdict in verdicts if verdict.faults]
    if as_json:
        show.json_object({"tests": len(verdicts), "failed": len(failed), "verdicts": verdicts})
    else:
        for verdict in failed:
            for fault in verdict.faults:
                sys.stderr.write(f"bellwether: {verdict.where}: {fault}\n")
        show.record("tests", {"tests": len(verdicts), "failed": len(failed)}, as_json=False)
    if failed:
        sys.exit(FAILED)


def _one(_context: click.Context, _parameter: click.Parameter, given: Sequence[str]) -> str | None:
    if len(given) > 1:
        raise click.BadParameter("one value at a time can be swept; run it once for each")
    return given[0] if given else None


@click.command()
@config_option
@click.option("--rules", "file", type=FILE, help="The rule file; else the one of the settings.")
@click.option("--input", "source", type=FILE, help="Scored records, JSON lines, plain or .gz.")
@click.option(
    "--since", type=Moment(), help="Read the scored topic from this time, or so long ago: 7d."
)
@click.option("--until", type=Moment(), help="Read the scored topic up to this time.")
@click.option("--compare", "other", type=FILE, help="A second rule file, shown beside the first.")
@click.option("--routes", type=FILE, help="A routing file: who would have been told how often.")
@click.option(
    "--sweep",
    multiple=True,
    callback=_one,
    help="RULE.NAME=0.8,0.85,0.9: which alerts each value loses.",
)
@click.option("--labels", type=FILE, help="Which events should have alerted: precision and recall.")
@json_option
@click.pass_obj
def backtest(
    settings: Settings,
    file: Path | None,
    source: Path | None,
    since: datetime | None,
    until: datetime | None,
    other: Path | None,
    routes: Path | None,
    sweep: str | None,
    labels: Path | None,
    as_json: bool,
) -> None:
    """What rules would have alerted on scored records of the past."""
    from stream.backtesting import report
    from stream.backtesting.backtest import Backtest
    from stream.backtesting.sweep import variants
    from stream.rules.rule_file import read_rule_file
    from stream.rules.rule_set import RuleSet
    from stream.runtime.heap import spare_long_lived

    if (source is None) == (since is None and until is None):
        raise click.UsageError(
            "give either --input FILE, or --since or --until (or both) for the topic"
        )
    check_span(since, until)
    if sweep and (other or routes):
        raise click.UsageError("--sweep can't be combined with --compare or --routes")
    heads = load_heads(settings)
    kinds = settings.subjects.fields
    read = read_rule_file(file or settings.alerting.rules, kinds)

    files = [read, *([read_rule_file(other, kinds)] if other else [])]
    if sweep:
        rule_sets = variants(read, sweep)
    else:
        names = (report.FIRST, report.SECOND)
        rule_sets = {name: one.rules for name, one in zip(names, files, strict=False)}
    chosen = {
        name: RuleSet(rules, heads, signals=settings.signals) for name, rules in rule_sets.items()
    }
    run = Backtest(chosen, signals=settings.signals, quiet_s=settings.alerting.quiet_s)
    told = _rehearsals(routes, rule_sets, settings)
    marks = _marks(labels, rule_sets, files)
    feed = partial(_feed, run, told, marks) if told or marks else run.feed
    spare_long_lived()
    began = time.perf_counter()
    if source is not None:
        _feed_file(feed, source, quiet=as_json)
    else:
        asyncio.run(_feed_topic(feed, settings, (since, until), quiet=as_json))
    _tell(told, marks, run.finish())
    seconds = time.perf_counter() - began
    summary = report.summarise(
        run,
        list(chosen),
        seconds,
        sweep=bool(sweep),
        told={name: rehearsal.finish() for name, rehearsal in told.items()},
        marks=marks,
    )
    if as_json:
        show.json_object(summary)
    else:
        report.show_summary(summary)


def _rehearsals(
    routes: Path | None, rule_sets: Mapping[str, Mapping[str, Rule]], settings: Settings
) -> dict[str, Rehearsal]:
    """One a rule set, none without a routing file."""
    from stream.backtesting.rehearsal import Rehearsal
    from stream.notify.routing import Routing

    if routes is None:
        return {}
    routing = Routing.load(routes)
    return {
        name: Rehearsal(
            routing,
            quiet_s={rule.name: rule.quiet_s for rule in rules.values() if rule.quiet_s},
            default_s=settings.alerting.quiet_s,
        )
        for name, rules in rule_sets.items()
    }


def _marks(
    labels: Path | None,
    rule_sets: Mapping[str, Mapping[str, Rule]],
    files: Sequence[RuleFile],
) -> Marks | None:
    """None without a labels file, which may speak of rules of the files that are not asked."""
    from stream.backtesting.labels import Marks, read_labels

    if labels is None:
        return None
    names = {
        name: [rule.name for rule in rules.values() if rule.enabled]
        for name, rules in rule_sets.items()
    }
    known = {rule.name for file in files for rule in file.rules.values()}
    return Marks(read_labels(labels, known), names)


def _feed(
    run: Backtest, told: Mapping[str, Rehearsal], marks: Marks | None, scored: Scored
) -> None:
    _tell(told, marks, run.feed(scored))


def _tell(told: Mapping[str, Rehearsal], marks: Marks | None, judged: Sequence[Judged]) -> None:
    for scored, transitions in judged:
        for name, alert in transitions:
            if rehearsal := told.get(name):
                rehearsal.feed(alert, scored.time.timestamp())
        if marks:
            marks.feed(scored, transitions)


def _feed_file(feed: Callable[[Scored], object], source: Path, *, quiet: bool) -> None:
    from stream.backtesting.scored_log import read_file
    from stream.files.lines import count_lines

    number = 0
    with progress_bar(quiet) as progress:
        task = progress.add_task("records", total=None if quiet else count_lines(source))
        for number, scored in enumerate(read_file(source), 1):
            feed(scored)
            if number % PROGRESS_EVERY == 0:
                progress.update(task, completed=number)
        progress.update(task, completed=number)


async def _feed_topic(
    feed: Callable[[Scored], object],
    settings: Settings,
    times: tuple[datetime | None, datetime | None],
    *,
    quiet: bool,
) -> None:
    from stream.backtesting.scored_log import read_topic

    number = 0
    with progress_bar(quiet) as progress:
        task = progress.add_task("records", total=None)
        found = partial(progress.update, task)
        async for scored in read_topic(settings, *times, found=lambda count: found(total=count)):
            feed(scored)
            number += 1
            if number % PROGRESS_EVERY == 0:
                progress.update(task, completed=number)
        progress.update(task, completed=number)
