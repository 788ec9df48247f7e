"""What a person is told of the label log, and of labels that the trainer will refuse."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from stream.commands import feedback as commands
from stream.config.settings import Settings, load_settings
from stream.files.lines import InputError
from stream.records import Feedback
from tests.fakes import NOON, settle
from trainer.labels.feedback import Accepted
from trainer.labels.label_log import LABELS_FILE, LabelLog, SeenEvent
from trainer.labels.question import Question


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    base = load_settings(None)
    trainer = base.trainer.model_copy(update={"folder": tmp_path})
    return base.model_copy(update={"trainer": trainer})


def ask(settings: Settings, *arguments: str) -> None:
    commands.feedback.main(arguments, standalone_mode=False, obj=settings)


def said(offset: int, event_id: str, author: str, label: str) -> Accepted:
    feedback = Feedback(
        id=f"f{offset}", event_id=event_id, head="risk", label=label, author=author, time=NOON
    )
    return Accepted(0, offset, feedback)


def test_status_tells_what_people_agree_on_and_what_waits(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = LabelLog(tmp_path / LABELS_FILE, remember_events=100)
    words = [
        said(0, "e1", "ann", "high"),
        said(1, "e1", "ann", "high"),
        said(2, "e2", "ann", "high"),
        said(3, "e2", "bob", "low"),
        said(4, "nobody", "ann", "low"),
    ]
    log.append(words, [SeenEvent("e1", "news", "one"), SeenEvent("e2", "news", "two")], {})
    log.attempts.note(settle([], {}, []), [], "refused: for a reason", NOON, "deep")
    log.close()

    ask(settings, "status", "--json")
    counts = orjson.loads(capfd.readouterr().out)
    names = ("feedback", "labels", "disputed", "unknown", "ambiguous", "repeats", "corrections")
    assert [counts[name] for name in names] == [5, 1, 1, 1, 0, 1, 0]

    ask(settings, "status")
    told = " ".join(capfd.readouterr().out.split())
    assert "feedback 5 records, 1 repeat, 0 corrections labels 1" in told
    assert "disputed 1 on which people disagree: e2 risk" in told
    assert "unknown 1 that wait for their event: nobody risk" in told
    assert "deep, 0 labels, refused: for a reason" in told


def test_what_to_ask_is_shown_with_a_confidence_that_can_be_read(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = LabelLog(tmp_path / LABELS_FILE, remember_events=100)
    log.note_questions([Question("risk", "e1", "news", "one", "low", 0.4839467406, "unsure")])
    log.close()
    ask(settings, "ask")
    told = capfd.readouterr().out
    assert "0.48" in told
    assert "0.483" not in told
    ask(settings, "ask", "--json")
    assert orjson.loads(capfd.readouterr().out)["questions"][0]["confidence"] == 0.4839467406


def test_who_labels_with_what_the_model_does_not_have_is_told_so_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sent: list[Feedback] = []

    async def send(_settings: Settings, records: list[Feedback]) -> None:
        sent.extend(records)

    monkeypatch.setattr(commands, "_send", send)
    good = ("--event", "e1", "--head", "risk", "--label", "high", "--author", "ann")
    ask(settings, *good)
    assert "refuse" not in capfd.readouterr().err
    ask(settings, *good[:-3], "dire", *good[-2:])
    # The trainer's model may be another one: it decides.
    assert [one.label for one in sent] == ["high", "dire"]
    told = capfd.readouterr().err
    assert "the trainer will refuse e1 risk dire: label 'dire' is none of low, medium" in told


def test_an_argument_that_is_no_text_is_refused(settings: Settings) -> None:
    with pytest.raises(InputError, match=r"command line: is not UTF-8 text \(.*surrogates"):
        ask(settings, "--event", "e\udcff", "--head", "risk", "--label", "low")


def test_a_file_of_labels_may_begin_with_a_byte_order_mark_but_must_be_utf8(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Feedback] = []

    async def send(_settings: Settings, records: list[Feedback]) -> None:
        sent.extend(records)

    monkeypatch.setattr(commands, "_send", send)
    row = '{"event_id": "e", "head": "topic", "label": "cards"}'
    file = tmp_path / "labels.jsonl"
    file.write_bytes(f"{row}\r\n".encode("utf-8-sig"))
    ask(settings, "import", str(file), "--author", "ann", "--json")
    assert [(one.event_id, one.label, one.author) for one in sent] == [("e", "cards", "ann")]
    file.write_text(row, encoding="utf-16")
    with pytest.raises(InputError, match=r"labels\.jsonl: is not UTF-8 text"):
        ask(settings, "import", str(file))
