"""feedback: what people say an event should have been, on its way to the trainer."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import orjson

from models.spec import ModelError
from stream.commands.chosen_model import load_heads
from stream.commands.options import FILE, config_option, json_option
from stream.config.settings import Settings
from stream.connections.outbox import Outgoing, open_outbox
from stream.connections.topics import prepare_topics
from stream.files.lines import InputError
from stream.ingest.text import printable
from stream.records import Feedback, encode, utc_now, written_by_hand
from stream.runtime.login import login_name
from stream.terminal import show

if TYPE_CHECKING:
    from trainer.labels.settlement import Settled

SENT_TOGETHER = 1_000
SHOWN_PLACES = 20
# Of trainer.labels.settlement.Settled: labels that teach nothing yet.
OPEN_QUESTIONS = (
    ("disputed", "on which people disagree"),
    ("unknown", "that wait for their event"),
    ("ambiguous", "whose event id two sources use"),
    ("unreadable", "about events that the model is set not to read"),
)


@click.group(invoke_without_command=True)
@config_option
@click.option("--event", help="The event's id.")
@click.option("--head", help="For example topic.")
@click.option("--label", help="What the head should have said.")
@click.option("--author", default=login_name, help="Who says so; else the login name.")
@click.option("--text", default="", help="Its text, if the stream has never had the event.")
@json_option
@click.pass_context
def feedback(
    context: click.Context,
    event: str | None,
    head: str | None,
    label: str | None,
    author: str,
    text: str,
    as_json: bool,
) -> None:
    """Say what the model should have answered; the trainer learns from it."""
    if context.invoked_subcommand:
        return
    missing = [
        f"--{name}"
        for name, value in (("event", event), ("head", head), ("label", label))
        if not value
    ]
    if missing:
        raise click.UsageError(f"{', '.join(missing)} missing; or `feedback import FILE`")
    row = {"event_id": event, "head": head, "label": label, "author": author, "text": text}
    one = _complete(row, "command line", author)
    _warn(context.obj, [one])
    asyncio.run(_send(context.obj, [one]))
    show.record("sent", one, as_json=as_json)


@feedback.command("import")
@config_option
@click.argument("file", type=FILE)
@click.option("--author", default=login_name, help="Author of rows that name none.")
@json_option
@click.pass_obj
def import_feedback(settings: Settings, file: Path, author: str, as_json: bool) -> None:
    """Send the JSON lines of FILE: event_id, head, label; if known, author, time, text, source."""
    records = list(_read(file, author))
    _warn(settings, records)
    asyncio.run(_send(settings, records))
    show.record("sent", {"labels": len(records)}, as_json=as_json)


@feedback.command("status")
@config_option
@json_option
@click.pass_obj
def feedback_status(settings: Settings, as_json: bool) -> None:
    """What the label log holds, what people agree on, and the trainer's last verdicts."""
    from trainer.labels.label_log import open_to_read

    heads = load_heads(settings)
    with open_to_read(settings.trainer.folder) as log:
        summary = log.summary()
        settled = log.settled(heads)
    if as_json:
        counts = {"labels": len(settled.labels)} | {
            name: len(getattr(settled, name)) for name, _ in OPEN_QUESTIONS
        }
        said = {"repeats": settled.repeats, "corrections": settled.corrections}
        show.json_object(summary | counts | said)
    else:
        show.rows("label log", _told(summary, settled))


def _told(summary: dict[str, Any], settled: Settled) -> Iterator[tuple[str, str]]:
    counts = {"record": summary["feedback"], "repeat": settled.repeats}
    counts["correction"] = settled.corrections
    yield "feedback", ", ".join(show.counted(number, noun) for noun, number in counts.items())
    yield "labels", str(len(settled.labels))
    for name, words in OPEN_QUESTIONS:
        places = getattr(settled, name)
        some = ", ".join(f"{event_id} {head}" for event_id, head in places[:SHOWN_PLACES])
        more = ", …" if len(places) > SHOWN_PLACES else ""
        yield name, f"{len(places)} {words}" + (f": {some}{more}" if places else "")
    yield "remembered events", str(summary["remembered_events"])
    for version, figures in summary["in_shadow"].items():
        yield "last in shadow", f"{version}: {'; '.join(figures)}"
    for one in summary["attempts"]:
        labels = show.counted(one["labels"], "label")
        yield f"{one['time']:.19} UTC", f"{one['speed']}, {labels}, {one['verdict']}"


@feedback.command("suspects")
@config_option
@json_option
@click.pass_obj
def feedback_suspects(settings: Settings, as_json: bool) -> None:
    """Labels that contradict the others, the worst first; correct one by labelling it again."""
    from trainer.labels.label_log import open_to_read

    with open_to_read(settings.trainer.folder) as log:
        rows = log.attempts.suspects()
    if as_json:
        show.json_object({"suspects": rows})
    else:
        columns = ("head", "label", "event_id", "authors", "text")
        show.table("suspects", rows, columns=columns)


@feedback.command("ask")
@config_option
@click.option("--head", help="Only for this head.")
@json_option
@click.pass_obj
def ask(settings: Settings, head: str | None, as_json: bool) -> None:
    """The events whose labels would teach the model most, as the running trainer chose them."""
    from trainer.labels.label_log import open_to_read

    with open_to_read(settings.trainer.folder) as log:
        rows = [one._asdict() for one in log.questions() if head in {None, one.head}]
    if as_json:
        show.json_object({"questions": rows})
    else:
        rows = [row | {"confidence": f"{row['confidence']:.2f}"} for row in rows]
        columns = ("head", "why", "label", "confidence", "event_id", "text")
        show.table("questions", rows, columns=columns)


def _read(file: Path, author: str) -> Iterator[Feedback]:
    try:
        # Some editors begin UTF-8 with a byte-order mark.
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{file}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: is not UTF-8 text; convert it first") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise InputError(f"{file}: line {number} is not JSON ({error})") from None
            yield _complete(row, f"{file}: line {number}", author)


def _complete(row: Any, where: str, author: str) -> Feedback:
    """Feedback with what a row may leave out; the trainer checks the rest against the model."""
    if not isinstance(row, dict):
        raise InputError(f"{where}: is no JSON object")
    filled = {"id": uuid.uuid4().hex, "author": author, "time": utc_now().isoformat(), **row}
    try:
        one = written_by_hand(filled, Feedback)
        encode(one)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}") from None
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: is not UTF-8 text ({error.reason}); correct it") from None
    return one


def _warn(settings: Settings, records: Sequence[Feedback]) -> None:
    """Of what the trainer will refuse, by the model that these settings name; the trainer decides.

    Its model may be another one, so the records are sent all the same.
    """
    from trainer.labels.feedback import Refusal, read_feedback

    try:
        heads = load_heads(settings)
    except ModelError:
        return
    for one in records:
        refusal = read_feedback(encode(one), heads, utc_now())
        if isinstance(refusal, Refusal):
            words = " ".join(filter(None, (refusal.field, refusal.detail)))
            about = f"{one.event_id} {one.head} {one.label}"
            sys.stderr.write(
                f"bellwether: the trainer will refuse {printable(about)}: {printable(words)}\n"
            )


async def _send(settings: Settings, records: Sequence[Feedback]) -> None:
    await prepare_topics(settings)
    topic = settings.topics.feedback
    async with open_outbox(settings.kafka) as outbox:
        for start in range(0, len(records), SENT_TOGETHER):
            some = records[start : start + SENT_TOGETHER]
            await outbox.send([Outgoing(topic, one.event_id.encode(), encode(one)) for one in some])
