"""What strangers write stays text: on the terminal, in logs and on the metrics page."""

from __future__ import annotations

import gzip
import io
import logging
from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from stream.config.settings import Limits, Source
from stream.ingest.dead_letter import MAX_WRAPPED_BYTES, DeadLetter
from stream.ingest.sources import Decoder
from stream.ingest.text import printable
from stream.operations.metrics import counted, exposition
from stream.terminal import show
from stream.terminal.logs import FORMAT, OneLine

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "id\n2026-01-01 00:00:00 ERROR   bellwether: forged",
    "invoice\u202efdp.exe",
    "\u2066hidden\u2069",
    "[bold red]markup[/bold red]",
    "\r\x00\x7f\x9b31m",
    "\ud800",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_shows_it_and_obeys_none_of_it(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(show, "stdout", Console(file=screen, width=200, color_system=None))
    show.table("rows", [{"id": text}], columns=("id",))
    show.record(text, {"id": text}, as_json=False)
    shown = screen.getvalue()
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "\u202e" not in shown
    if "[bold" in text:
        assert "[bold red]markup[/bold red]" in shown


@given(st.text() | st.sampled_from(HOSTILE))
def test_a_log_line_is_one_line_of_printable_text(text: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine(FORMAT))
    record = logging.LogRecord("stream", logging.WARNING, "", 0, "event %s", (text,), None)
    handler.emit(record)
    (line,) = stream.getvalue().removesuffix("\n").split("\n")
    assert line.isprintable()
    assert printable(text) in line


def test_a_traceback_keeps_its_lines() -> None:
    try:
        int("no number")
    except ValueError as error:
        record = logging.LogRecord(
            "stream", logging.ERROR, "", 0, "failed", (), (type(error), error, error.__traceback__)
        )
    assert OneLine(FORMAT).format(record).count("\n") >= 3


@given(label=st.text())
def test_a_label_on_the_metrics_page_forges_no_metric(label: str) -> None:
    label = label.encode(errors="replace").decode()
    page = exposition([counted("bellwether_x", "X.", ("rule",), {label: 1})]).decode()
    (sample,) = [
        sample
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("bellwether")
    ]
    assert sample.labels == {"rule": label}


def raw(value: bytes) -> SimpleNamespace:
    return SimpleNamespace(
        topic="news", partition=0, offset=1, key=None, value=value, timestamp=-1, headers=()
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"text": "' + b"x" * 10_000_000 + b'"}', "oversize"),
        (b"[" * 500_000, "not_json"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not_json"),
        (b'{"text": ' + b"9" * 900_000 + b"}", "not_json"),
        (gzip.compress(b'{"text": "packed"}', mtime=0), "not_utf8"),
    ],
)
def test_a_body_made_to_hurt_is_a_dead_letter_that_kafka_takes(value: bytes, reason: str) -> None:
    decoder = Decoder(Source(topic="news", kind="news"), Limits())
    letter = decoder.decode(raw(value), NOW)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == reason
    wire = letter.encode()
    assert len(wire) < 8 * 1024 * 1024
    again = DeadLetter.decode(wire)
    assert bool(again.missing) == (len(value) > MAX_WRAPPED_BYTES)
    assert orjson.loads(wire)["value_bytes"] == len(value)
