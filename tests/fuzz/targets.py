"""Every parser that reads what others wrote, and what each of its answers must be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from models.description import read_description, shipped
from models.spec import DEFAULT_HEADS, ModelError
from stream.config.settings import Limits, Settings, SettingsError, Source, load_settings
from stream.connections.outbox import Outgoing
from stream.files.publish import Addresser
from stream.ingest.dead_letter import MAX_WRAPPED_BYTES, DeadLetter, UnreadableLetterError
from stream.ingest.event_time import parse_time
from stream.ingest.sources import Decoder
from stream.records import Event, Origin, decode_alert, decode_scored, encode
from stream.rules import rule_set as rules
from stream.rules.rule_error import RuleError
from stream.rules.rule_set import RuleSet
from tests import fakes
from trainer.labels.feedback import Refusal, read_feedback

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
GOOD = b'{"id": "good", "text": "a good neighbour", "tickers": ["A"]}'
EXAMPLES = Path(__file__).parents[2]


class Target(NamedTuple):
    """check raises on an answer that is none of those allowed; seeds are inputs that are right."""

    seeds: list[bytes]
    check: Callable[[bytes], object]


def targets(folder: Path) -> dict[str, Target]:
    """By name; folder is for parsers that read files."""
    return {
        "source records": _sources(),
        "dead letters": _dead_letters(),
        "feedback": _feedback(),
        "scored records": Target([encode(fakes.scored())], _allowing(decode_scored)),
        "alerts": Target([encode(fakes.alert())], _allowing(decode_alert)),
        "published lines": _lines(),
        "times": _times(),
        "settings": _settings(folder / "fuzzed-settings.toml"),
        "rules": _rules(folder / "fuzzed-rules.toml"),
        "checkpoint descriptions": _checkpoints(),
    }


def _record(value: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()) -> SimpleNamespace:
    return SimpleNamespace(
        topic="news", partition=0, offset=1, key=b"k", value=value, timestamp=1_773_316_800_000,
        headers=headers,
    )  # fmt: skip


def _sources() -> Target:
    fields = {"title": "headline.main", "tickers": "tags[?type=='stock'].name"}
    source = Source(topic="news", kind="news", fields=fields)  # type: ignore[arg-type]
    decoder = Decoder(source, Limits(max_record_bytes=10_000))
    good = decoder.decode(_record(GOOD), NOW)

    def check(payload: bytes) -> None:
        answer = decoder.decode(_record(payload), NOW)
        if isinstance(answer, DeadLetter):
            assert answer.reason and answer.value == payload
            assert DeadLetter.decode(answer.encode()) == answer
        else:
            assert answer.text.strip() == answer.text != ""
            assert answer.time.utcoffset() is not None
            msgspec.json.encode(answer.attributes)
        # A good neighbour is none the worse.
        assert decoder.decode(_record(GOOD), NOW) == good

    assert isinstance(good, Event)
    full = (
        b'{"id": 7, "text": "T &amp; T", "headline": {"main": "H"}, "time": "2026-03-01T10:00:00Z",'
        b' "author": "x", "tags": [{"type": "stock", "name": "A"}], "lang": "en", "more": [1.5]}'
    )
    return Target([GOOD, full, b'{"text": "x", "time": 1772400000}'], check)


def _dead_letters() -> Target:
    def check(payload: bytes) -> None:
        try:
            letter = DeadLetter.decode(payload)
        except UnreadableLetterError:
            return
        assert letter.attempt >= 1 and letter.first
        assert len(letter.encode()) < 2 * MAX_WRAPPED_BYTES
        assert DeadLetter.decode(letter.encode()) == letter

    letter = DeadLetter(
        origin=Origin("news", 1, 2),
        reason="not_json",
        field="",
        detail="d",
        key=b"\xff",
        value=b"bytes",
        headers=(("bellwether-replay-of", b"news-0-0"), ("bellwether-replay-attempt", b"2")),
        timestamp_ms=1,
        time=NOW,
    )
    return Target([letter.encode()], check)


def _feedback() -> Target:
    def check(payload: bytes) -> None:
        answer = read_feedback(payload, DEFAULT_HEADS, NOW)
        if isinstance(answer, Refusal):
            assert answer.reason and answer.detail

    seed = (
        b'{"id": "f", "event_id": "e", "head": "sentiment", "label": "negative", "author": "a",'
        b' "time": "2026-03-12T11:00:00Z", "text": "t", "source": "news", "version": 1}'
    )
    return Target([seed], check)


def _allowing(decode: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    def check(payload: bytes) -> None:
        try:
            record = decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        assert decode(encode(record)) == record

    return check


def _lines() -> Target:
    addresser = Addresser(Settings())

    def check(line: bytes) -> None:
        outgoing = addresser.address(Path("feed.jsonl"), 1, line)
        assert isinstance(outgoing, Outgoing) and outgoing.topic

    return Target([b'{"source": "news", "id": "1", "text": "x"}'], check)


def _times() -> Target:
    def check(payload: bytes) -> None:
        try:
            moment = parse_time(payload.decode(errors="surrogateescape"))
        except ValueError:
            return
        assert moment.utcoffset() is not None

    return Target([b"2026-03-12T12:00:00Z", b"1773316800.5", b"12 Mar 2026 12:00:00 GMT"], check)


def _settings(file: Path) -> Target:
    def check(content: bytes) -> None:
        file.write_bytes(content)
        try:
            load_settings(file)
        except SettingsError:
            return

    seeds = [
        b'[kafka]\nbootstrap = "h:1"\nsasl = "PLAIN"\nusername = "u"\npassword_file = "f"\n',
        b'[[sources]]\ntopic = "t"\nkind = "ticket"\nfields = { text = "a.b" }\n',
        b'[http]\nlisten = "127.0.0.1:1"\n[redis]\nurl = "rediss://h:1/0"\n[model]\nthreads = 2\n',
    ]
    return Target(seeds, check)


def _rules(file: Path) -> Target:
    scored = fakes.scored()

    def check(content: bytes) -> None:
        file.write_bytes(content)
        try:
            loaded = RuleSet.load(file)
        except RuleError:
            return
        loaded.match(scored)

    own = Path(rules.__file__).with_name("default_rules.toml").read_bytes()
    rule = (
        b'[[rule]]\nname = "r"\nwhen = \'sentiment.label == "negative" && size(event.text) > 3\'\n'
        b'subject = "ticker"\nseverity = "info"\ntitle = "T {subject}"\nsummary = "{text}"\n'
    )
    return Target([rule, own, (EXAMPLES / "examples" / "rules.toml").read_bytes()], check)


def _checkpoints() -> Target:
    def check(content: bytes) -> None:
        try:
            read_description(content, "fuzzed")
        except ModelError:
            return

    return Target([(shipped() / "checkpoint.json").read_bytes()], check)
