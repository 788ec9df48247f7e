"""How right alerts were, by what people said of events."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from stream.backtesting.labels import Label, Marks, Quality, read_labels
from stream.backtesting.scored_log import read_file
from stream.cli import main
from stream.files.lines import InputError
from stream.records import encode
from tests.fakes import NOON, alert, scored
from tests.unit.stream.backtesting.test_backtest import EVENTS, RULES, rule_file

LABELS = [
    {"event_id": "e1", "alert": True},
    {"event_id": "e2", "alert": False},
    {"event_id": "e5", "alert": True},
    {"event_id": "e7", "alert": True},
    {"event_id": "e7", "alert": False, "rule": "bad-news"},
    {"event_id": "never seen", "alert": True},
]


def labels_file(folder: Path, rows: list[dict[str, object]]) -> Path:
    path = folder / "labels.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    return path


def test_precision_and_recall_of_each_rule(tmp_path: Path) -> None:
    records = tmp_path / "scored.jsonl"
    records.write_bytes(b"\n".join(encode(one) for one in EVENTS))
    rules = rule_file(tmp_path)
    asked = ["backtest", "--rules", str(rules), "--input", str(records), "--json"]
    asked += ["--labels", str(labels_file(tmp_path, LABELS))]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    # Each alert has one event; 16 of them, and e5 is not sure enough to be in one.
    ours = {"right": 1, "wrong": 2, "unknown": 13, "precision": 0.3333}
    ours |= {"wanted": 2, "found": 1, "recall": 0.5}
    assert orjson.loads(done.stdout)["result"]["quality"] == [
        {"rule": name, **ours} for name in ("all rules", "bad-news")
    ]
    found = orjson.loads(done.stdout)
    assert (found["labels_matched"], found["labelled"]) == (4, 5)
    swept = CliRunner().invoke(main, [*asked, "--sweep", "bad-news.sentiment.confidence=0.7,0.99"])
    steps = orjson.loads(swept.stdout)["sweep"]
    assert [step["quality"]["recall"] for step in steps] == [1.0, 0.0]
    assert steps[1]["quality"]["precision"] is None


@pytest.mark.parametrize("more", [[], ["--sweep", "bad-news.sentiment.confidence=0.7,0.99"]])
def test_labels_may_speak_of_any_rule_of_the_file(tmp_path: Path, more: list[str]) -> None:
    records = tmp_path / "scored.jsonl"
    records.write_bytes(b"\n".join(encode(one) for one in EVENTS))
    off = RULES.replace("bad-news", "off").replace("severity", "enabled = false\nseverity")
    rules = rule_file(tmp_path, f"{RULES}{off}{RULES.replace('bad-news', 'another')}")
    labels = [
        {"event_id": "e1", "alert": True, "rule": name} for name in ("bad-news", "off", "another")
    ]
    asked = ["backtest", "--rules", str(rules), "--input", str(records), *more]
    done = CliRunner().invoke(main, [*asked, "--labels", str(labels_file(tmp_path, labels))])
    assert done.exit_code == 0, done.output


def test_what_an_alert_waited_for_counts_and_what_resolved_it_does_not() -> None:
    marks = Marks([Label("waited", True), Label("fired", False), Label("over", True)], {"": ["r"]})
    first = scored(id="waited")
    evidence = alert().evidence[0]
    fired = alert(evidence=(evidence.__class__("waited", "news", NOON, "t", {}),))
    marks.feed(first, [])
    marks.feed(scored(id="fired"), [("", fired)])
    marks.feed(scored(id="over"), [("", alert(state="resolved", sequence=2))])
    assert marks.quality("")[1] == Quality("r", 1, 0, 0, 1.0, 2, 1, 0.5)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"event_id": "e1"}, "line 2: is no label .*alert"),
        ({"event_id": "e1", "alert": True, "rule": "other"}, "no rule is named 'other'"),
        ({"event_id": "e1", "alert": True, "labels": 1}, "unknown field"),
        ({"event_id": "e0", "alert": False}, "line 2: contradicts a line above"),
    ],
)
def test_a_faulty_label_is_named_with_its_line(
    tmp_path: Path, row: dict[str, object], named: str
) -> None:
    path = labels_file(tmp_path, [{"event_id": "e0", "alert": True}, row])
    with pytest.raises(InputError, match=named):
        read_labels(path, {"bad-news"})


def test_an_id_may_be_an_integer_as_in_a_source_record(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"event_id": 4711, "alert": True}]
    assert read_labels(labels_file(tmp_path, rows), set()) == [Label("4711", alert=True)]
    for other in (True, 4711.5, None):
        with pytest.raises(InputError, match="line 1: is no label"):
            read_labels(labels_file(tmp_path, [{"event_id": other, "alert": True}]), set())


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    labels, records = tmp_path / "labels.jsonl", tmp_path / "records.jsonl"
    labels.write_bytes(b'{"event_id": "\xff", "alert": true}\n')
    with pytest.raises(InputError, match="line 1: is no label"):
        read_labels(labels, set())
    records.write_bytes(encode(EVENTS[0]).replace(b'"id":"', b'"id":"\xff', 1))
    with pytest.raises(InputError, match="line 1: is no scored record"):
        list(read_file(records))
