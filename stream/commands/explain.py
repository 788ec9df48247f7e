"""explain: why the model said so, and why an alert was raised."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from models.explanation import Neighbour
from stream.commands.options import config_option, json_option, progress_bar, with_redis
from stream.commands.parameters import AlertId
from stream.config.settings import Settings
from stream.ingest.text import clean_text
from stream.records import Alert
from stream.runtime.errors import StartError
from stream.terminal import show

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from models.nearest import ExampleIndex
    from stream.explain.explanation import ExplainedAlert
    from stream.names import Keys
    from stream.records import Origin, RawRecord


@click.command()
@config_option
@click.argument("alert_id", required=False, type=AlertId())
@click.option("--text", help="Explain this text instead of an alert.")
@click.option("--head", help="Only this head; else those the rule reads, or all for a text.")
@click.option(
    "--kind",
    type=click.Choice(["news", "social", "ticket"]),
    help="What kind of source --text is from, as heads may be calibrated for it.",
)
@click.option(
    "--examples",
    default=3,
    show_default=True,
    type=click.IntRange(0, 20),
    help="How many of the nearest labelled examples.",
)
@click.option("--replay", is_flag=True, help="Read, score and judge the alert's events again.")
@json_option
@click.pass_obj
def explain(
    settings: Settings,
    alert_id: str | None,
    text: str | None,
    head: str | None,
    kind: str | None,
    examples: int,
    replay: bool,
    as_json: bool,
) -> None:
    """Say why: words and their weights, smallest edit, nearest examples, rule and figures."""
    from stream.commands.explainers import explainers, load_explainer
    from stream.explain import explanation_view
    from stream.explain.explainer import AlertExplainer, explain_text
    from stream.explain.explanation import ExplainedText
    from stream.ingest.language import detect_language
    from stream.ingest.readable import why_unreadable

    if bool(alert_id) == bool(text):
        raise click.UsageError("give an ALERT_ID, or --text TEXT")
    if (replay and text) or (kind and alert_id):
        raise click.UsageError("--replay goes with an ALERT_ID, --kind with --text")
    heads = [head] if head else []
    nearest = _Examples(settings, examples).nearest
    with progress_bar(as_json) as progress:
        progress.add_task("explaining", total=None)
        if text:
            explainer = load_explainer(settings, None)
            names = heads or [one.name for one in explainer.predictor.heads]
            cleaned = clean_text(text, settings.limits.max_text_chars)
            unreadable = why_unreadable(cleaned, detect_language(cleaned), settings.model.languages)
            found: ExplainedText | ExplainedAlert = explain_text(
                explainer, nearest, cleaned, heads=names, kind=kind or "", unreadable=unreadable
            )
        else:
            alert, copies = asyncio.run(_find(settings, alert_id or ""))
            again = asyncio.run(_read_again(settings, alert)) if replay else None
            found = AlertExplainer(settings, explainers(settings), nearest, heads).explain(
                alert, copies, again
            )
    if as_json:
        show.json_object(found)
    elif isinstance(found, ExplainedText):
        explanation_view.print_text(found)
    else:
        explanation_view.print_alert(found)


async def _find(settings: Settings, alert_id: str) -> tuple[Alert, list[int]]:
    """The alert, and the copies of each event of its evidence."""
    from stream.alerts.store import AlertStore, absent
    from stream.subjects.copy_store import count_copies

    async def ask(redis: Redis, keys: Keys) -> tuple[Alert, list[int]]:
        alert = await AlertStore(redis, keys, settings.alerting).get(alert_id)
        if alert is None:
            raise StartError(absent(alert_id))
        return alert, await count_copies(
            redis, keys, [(one.source, one.event_id) for one in alert.evidence]
        )

    return await with_redis(settings, ask)


async def _read_again(settings: Settings, alert: Alert) -> dict[Origin, RawRecord]:
    from stream.explain.source_records import read_again

    events = [*alert.evidence, *([alert.ended_by] if alert.ended_by else [])]
    return await read_again(settings, [one.origin for one in events if one.origin])


class _Examples:
    """Labelled examples of each model and head, read when first needed."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._folder = settings.trainer.folder
        self._count = count
        self._indexes: dict[tuple[str, str], ExampleIndex] = {}

    def nearest(self, explainer: Any, head: str, text: str) -> list[Neighbour]:
        if not self._count:
            return []
        known = (explainer.predictor.version, head)
        if known not in self._indexes:
            from models.nearest import ExampleIndex
            from trainer.labels.examples import labelled

            (one,) = (one for one in explainer.predictor.heads if one.name == head)
            examples = labelled(one, self._folder)
            self._indexes[known] = ExampleIndex(examples, explainer.vectors)
        return self._indexes[known].nearest(text, self._count)
