"""What a user sees of a mistake: one clear sentence, the right exit code, no traceback."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import orjson
import pytest

from models.checkpoint import read_checkpoint, write_checkpoint
from models.description import shipped
from models.registry import Registry
from tests.integration.command import call, process

NOTHING_LISTENS = "127.0.0.1:1"
ALERT = "0123456789abcdef-1"


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


MISSPELT = "[[queues]]\nname = 'plastic'\ntopics = ['card']\n[[queues]]\nname = 'rest'\n"


@pytest.mark.parametrize(
    ("settings", "arguments", "code", "named"),
    [
        (
            "[kafka]\nbootstap = 'x'\n",
            ["worker"],
            2,
            "kafka.bootstap: is not known; did you mean 'bootstrap'?",
        ),
        (
            "[[sources]]\nfield = 1\n",
            ["worker"],
            2,
            "sources.0.field: is not known; did you mean 'fields'",
        ),
        ("[moodel]\n", ["worker"], 2, "moodel: is not known; did you mean 'model'"),
        ("[redis]\nxyzzy = 1\n", ["worker"], 2, "redis.xyzzy: is not known; docs/settings.md has"),
        ("[alerting]\nquiet_s = '1h'\n", ["worker"], 2, "quiet_s: must be a number of seconds"),
        ("[model]\npath = 'absent'\n", ["doctor"], 1, "absent"),
        ("[model]\npath = 'absent'\n", ["worker"], 2, "absent"),
        ("[alerting]\nrules = 'absent.toml'\n", ["worker"], 2, "absent.toml"),
        ("[worker]\nstart_timeout_s = 1\n", ["worker"], 1, "Kafka at 127.0.0.1:1"),
        ("", ["alerts", "list"], 1, "Redis can't be reached"),
        ("", ["alerts", "show", ALERT], 1, "Redis can't be reached"),
        ("", ["alerts", "ack", ALERT], 1, "Redis can't be reached"),
        ("", ["alerts", "ack", "x:history"], 1, "alert 'x:history' is not in Redis"),
        ("", ["alerts", "silence", "--matcher", "rule=~(", "--for", "2h"], 2, "unclosed group"),
        ("", ["alerts", "silence", "--matcher", "rule=x", "--for", "soon"], 2, "whole number"),
        ("", ["alerts", "export", "--until", "2h"], 2, "--until needs --since"),
        ("", ["alerts", "export", "--since", "2h"], 1, "Kafka at 127.0.0.1:1"),
        ("", ["alerts", "export", "--since", "1h", "--until", "2h"], 2, "is not after --since"),
        ("", ["ledger", "--since", "1h", "--until", "2h"], 2, "is not after --since"),
        ("", ["backtest", "--since", "1h", "--until", "2h"], 2, "is not after --since"),
        (
            "",
            ["backtest", "--input", "in.jsonl", "--sweep", "a.for=1h", "--sweep", "b.for=1h"],
            2,
            "one value at a time",
        ),
        ("", ["alerts", "route", "--labels", "rule=x"], 2, "alerting.routes"),
        ("[alerting]\nroutes = 'absent.toml'\n", ["worker"], 2, "absent.toml"),
        ("[alerting]\nroutes = 'in.jsonl'\n", ["doctor"], 1, "not valid TOML"),
        (MISSPELT, ["doctor"], 1, "did you mean 'cards'"),
        (MISSPELT, ["worker"], 2, "queues.0.topics"),
        ("", ["dead-letters", "list"], 1, "Kafka at 127.0.0.1:1"),
        ("[worker]\nstart_timeout_s = 1\n", ["publish", "in.jsonl"], 1, "Kafka at 127.0.0.1:1"),
        ("", ["score", "absent.jsonl", "--output", "out"], 1, "absent.jsonl can't be read"),
        ("", ["score", "in.csv", "--output", "out"], 1, "in.csv: no line is a JSON object"),
        ("", ["demo", "--input", "in.csv"], 1, "it looks like CSV"),
        ("", ["score", "in.jsonl", "--output", "out", "--model", "nowhere"], 2, "nowhere"),
        ("", ["score", "in.jsonl", "--output", "."], 1, "it is a folder; name a file"),
        ("", ["rules", "check", "absent.toml"], 2, "correct the path, or the setting"),
        ("", ["alerts", "list", "--subject", "HALC"], 2, "write it as in ticker:HALC"),
        ("", ["backtest"], 2, "or --since or --until (or both)"),
        ("", ["evaluate", "--data", "absent.tsv", "--head", "risk"], 1, "absent.tsv"),
        ("", ["evaluate", "--data", "in.jsonl", "--head", "mood"], 1, "mood"),
        ("", ["no-such-command"], 2, "no-such-command"),
        ("", ["alert", "list"], 2, "No such command 'alert'. Did you mean 'alerts'?"),
        ("", ["score", "in.jsonl"], 2, "--output"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(
    tmp_path: Path, settings: str, arguments: list[str], code: int, named: str
) -> None:
    path = settings_file(tmp_path, settings)
    (tmp_path / "in.jsonl").write_text('{"source": "news", "text": "a", "label": "low"}\n')
    (tmp_path / "in.csv").write_text("id,text\n1,a\n")
    run = process if arguments == ["worker"] else call
    returned, stdout, stderr = run(
        *(["--config", path] if arguments[0] != "no-such-command" else []),
        *arguments,
        folder=tmp_path,
        BELLWETHER_KAFKA__BOOTSTRAP=NOTHING_LISTENS,
        BELLWETHER_REDIS__URL=f"redis://{NOTHING_LISTENS}/0",
    )
    assert returned == code, stderr
    assert named in " ".join((stdout + stderr).split())
    assert "Traceback" not in stdout + stderr


def test_an_unknown_field_in_a_rule_names_rule_and_remedy(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "mine"\nwhen = "sentiment.lable == \'negative\'"\n'
        'subject = "ticker"\nseverity = "info"\ntitle = "t"\n'
    )
    path = settings_file(tmp_path, f'[alerting]\nrules = "{rules}"\n')
    code, _, stderr = process("worker", "--config", path, folder=tmp_path)
    assert code == 2
    assert "rule 'mine'" in stderr
    assert "did you mean 'label'?" in stderr
    assert "Traceback" not in stderr


def test_doctor_says_what_to_do_about_each_missing_part(tmp_path: Path) -> None:
    code, stdout, _ = call(
        "doctor",
        "--json",
        folder=tmp_path,
        BELLWETHER_KAFKA__BOOTSTRAP=NOTHING_LISTENS,
        BELLWETHER_REDIS__URL=f"redis://{NOTHING_LISTENS}/0",
    )
    report = orjson.loads(stdout)
    status = {check["name"]: check["status"] for check in report["checks"]}
    assert code == 1
    assert report["healthy"] is False
    assert status == {
        "sources": "ok",
        "kafka": "failed",
        "redis": "failed",
        "model": "ok",
        "rules": "ok",
        "queues": "ok",
        "subjects": "ok",
    }


def test_demo_prints_one_json_object_and_counts_every_line(tmp_path: Path) -> None:
    lines = [
        b'{"source": "news", "id": "1", "text": "Profit rises", "tickers": ["A"]}',
        b'{"source": "social", "id": "2", "text": "lovely day"}',
        b'{"source": "ticket", "id": "3", "text": "Where is my card?", "customer": "c"}',
        b"not json",
        b'{"source": "mail", "text": "unknown source"}',
        b'{"source": "news", "text": ""}',
    ]
    feed = tmp_path / "feed.jsonl"
    feed.write_bytes(b"\n".join(lines))
    code, stdout, stderr = process("demo", "--input", feed, "--json", folder=tmp_path)
    assert code == 0, stderr
    summary = orjson.loads(stdout)
    assert (summary["published"], summary["scored"], summary["dead_letters"]) == (6, 3, 3)
    assert summary["dead_letters_by_reason"] == {"not_json": 1, "unknown_source": 1, "no_text": 1}
    assert summary["routed"] + summary["reviewed"] == 1
    assert summary["latency_ms"]["p99"] > 0
    assert summary["model"]
    assert re.search(
        r"export BELLWETHER_KAFKA__BOOTSTRAP=127.0.0.1:\d+ BELLWETHER_REDIS__URL=redis://", stderr
    )


def test_max_events_ends_the_demo_after_so_many_lines(tmp_path: Path) -> None:
    feed = tmp_path / "feed.jsonl"
    feed.write_bytes(b'{"source": "news", "text": "Profit rises"}\n' * 50)
    code, stdout, stderr = process(
        "demo", "--input", feed, "--max-events", "7", "--json", folder=tmp_path
    )
    assert code == 0, stderr
    assert orjson.loads(stdout)["published"] == 7


def test_a_champion_moved_while_kafka_is_away_is_moved_and_says_when_workers_know(
    tmp_path: Path,
) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add(shipped()).version
    settings = settings_file(
        tmp_path,
        f"[model]\nregistry = '{registry.address}'\n[kafka]\nbootstrap = '{NOTHING_LISTENS}'\n",
    )
    arguments = ("models", "promote", version, "--why", "w", "--config", settings, "--json")
    code, out, errors = process(*arguments, folder=tmp_path)
    assert (code, orjson.loads(out)["version"]) == (0, version)
    assert "does not take the announcement" in errors
    assert "Unclosed" not in errors
    assert "lacks" not in errors
    code, _, errors = process("models", "rollback", "--config", settings, folder=tmp_path)
    assert code == 2
    assert "has no predecessor" in errors
    checkpoint, weights = read_checkpoint(shipped())
    mine = msgspec.structs.replace(checkpoint.heads[0], name="mine")
    checkpoint = msgspec.structs.replace(checkpoint, heads=(mine, *checkpoint.heads[1:]))
    other = write_checkpoint(tmp_path / "other", checkpoint, weights).version
    registry.add(tmp_path / "other")
    arguments = ("models", "promote", other, "--why", "w", "--config", settings)
    code, _, errors = process(*arguments, folder=tmp_path)
    assert code == 0
    assert f"{other} lacks sentiment, which {version} has: labels for that" in errors
