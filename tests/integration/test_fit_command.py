"""`bellwether fit` as a user runs it: the table, the served model, mistakes, interruptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from tests.tiny_model import write_tiny_checkpoint, write_tiny_encoder

BELLWETHER = Path(sys.executable).with_name("bellwether")
DEADLINE_S = 120
THINGS = ("ferry", "radio", "engine", "lamp", "kettle", "drill", "boiler", "printer")
TEXTS = [
    f"the {thing} {verb}" for thing in THINGS for verb in ("failed", "shines", "leaks", "hums")
]
FIT = [
    *("fit", "--data", "own.csv", "--head", "state", "--output", "mine", "--model", "parent"),
    *("--method", "heads", "--rate", "0.05", "--validation-share", "0.25"),
]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_tiny_checkpoint(folder / "parent", write_tiny_encoder(folder / "encoder"))
    return folder / "parent"


@pytest.fixture
def folder(tmp_path: Path, parent: Path) -> Path:
    (tmp_path / "parent").symlink_to(parent)
    rows = [f"{t},{'broken' if t.endswith(('failed', 'leaks')) else 'fine'}\n" for t in TEXTS]
    (tmp_path / "own.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    return tmp_path


def bellwether(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BELLWETHER, *arguments],
        cwd=folder,
        env={**os.environ, "BELLWETHER_MODEL__DEVICE": "cpu"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_fitted_head_is_served_beside_the_old_ones_by_one_setting(folder: Path) -> None:
    run = bellwether(folder, *FIT, "--tensorboard", "logs")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0] == "head state: 2 labels, 24 texts to learn from, 8 to validate with"
    assert lines[1].startswith("epoch 1: train loss ")
    assert ", val loss " in lines[1]
    assert ", val accuracy state " in lines[1]
    assert 'path = "mine"' in run.stdout
    assert list((folder / "logs").glob("events.*"))

    events = [{"id": str(n), "source": "ticket", "text": text} for n, text in enumerate(TEXTS)]
    (folder / "in.jsonl").write_bytes(b"\n".join(map(orjson.dumps, events)))
    (folder / "bellwether.toml").write_text('[model]\npath = "mine"\nprecision = "fp32"\n')
    run = bellwether(folder, "score", "in.jsonl", "--output", "out.jsonl")
    assert run.returncode == 0, run.stderr
    scored = [orjson.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]
    assert all(record["heads"].keys() == {"mood", "kind", "state"} for record in scored)
    right = [
        (record["heads"]["state"]["label"] == "broken")
        == record["text"].endswith(("failed", "leaks"))
        for record in scored
    ]
    assert sum(right) >= len(right) - 3
    assert {record["model"] for record in scored} == {_version(folder / "mine")}


def test_json_is_one_object_with_the_epochs(folder: Path) -> None:
    run = bellwether(folder, *FIT, "--epochs", "2", "--json")
    assert run.returncode == 0, run.stderr
    (line,) = run.stdout.splitlines()
    record = orjson.loads(line)
    assert record["version"] == _version(folder / "mine")
    assert [epoch["number"] for epoch in record["epochs"]] == [1, 2]
    assert record["answers_as_before"] == {"mood": 1.0, "kind": 1.0}
    assert record["per_label"].keys() == {"broken", "fine"}
    assert 0.5 <= record["validation_answered"] <= 1.0
    assert 0.0 <= record["validation_wrong_among_answered"] <= 1.0
    assert record["validation_by_source"] == {}
    assert record["calibration"] == {"other": "new"}


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--text-column", "body"], 1, "row 1 has no column 'body', only text, label"),
        (["--rate", "0"], 2, "a rate is above 0"),
        (["--rate", "1e-4,1e-3"], 2, "several rates need --cross-validate"),
        (["--unlabelled", "own.csv"], 2, "--adapt-epochs or --pseudo-label"),
        (["--pseudo-label"], 2, "--unlabelled goes with"),
        (["--output", "parent"], 1, "already exists"),
        (["--head", "mood"], 1, "label 'broken' is none of head 'mood' (bad, good)"),
    ],
)
def test_a_mistake_is_one_sentence(
    folder: Path, arguments: list[str], code: int, named: str
) -> None:
    run = bellwether(folder, *FIT, *arguments)
    assert run.returncode == code
    assert named in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr
    assert not (folder / "mine").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_fit_leaves_no_model_and_the_same_command_goes_on(
    folder: Path, number: signal.Signals
) -> None:
    command = [*FIT, "--epochs", "120", "--patience", "0"]
    process = subprocess.Popen(
        [BELLWETHER, *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background may have SIGINT ignored, which is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    unfinished = folder / "mine.labelled.unfinished.safetensors"
    deadline = time.monotonic() + DEADLINE_S
    while not unfinished.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=DEADLINE_S)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "The same command goes on" in stderr
    assert not (folder / "mine").exists()
    refused = bellwether(folder, "score", "own.csv", "--output", "out", "--model", "mine")
    assert refused.returncode == 2
    assert "mine does not exist" in refused.stderr

    run = bellwether(folder, *command)
    assert run.returncode == 0, run.stderr
    epochs = [line for line in run.stdout.splitlines() if line.startswith("epoch ")]
    assert not epochs[0].startswith("epoch 1:")
    assert epochs[-1].startswith("epoch 120:")
    assert sorted(path.name for path in folder.iterdir()) == ["mine", "own.csv", "parent"]


def _version(folder: Path) -> str:
    version: str = orjson.loads((folder / "checkpoint.json").read_bytes())["version"]
    return version


def test_a_pruned_model_is_reported_written_and_served(folder: Path) -> None:
    lines = [f"{text} {number},bad\n" for number in range(6) for text in TEXTS]
    (folder / "mood.csv").write_text("text,label\n" + "".join(lines), encoding="utf-8")
    command = ["prune", "--data", "mood.csv", "--head", "mood", "--model", "parent"]
    some = ["--share", "0.25", "--max-loss", "1"]
    run = bellwether(folder, *command, "--output", "pruned", *some, "--json")
    assert run.returncode == 0, run.stderr
    report = orjson.loads(run.stdout)
    assert len(report["heads_left_out"]) == 1
    assert {way["pruned"] for way in report["ways"]} == {False, True}
    judged = bellwether(folder, "evaluate", *command[1:5], "--model", "pruned", "--json")
    assert orjson.loads(judged.stdout)["n"] == len(lines)
    again = bellwether(folder, *command, "--output", "pruned", *some)
    assert (again.returncode, "already exists" in again.stderr) == (1, True)


def test_prune_names_what_is_wrong(folder: Path) -> None:
    command = ["prune", "--data", "own.csv", "--output", "pruned", "--model", "parent"]
    foreign = bellwether(folder, *command, "--head", "mood")
    assert (foreign.returncode, "own.csv: row 1: label" in foreign.stderr) == (1, True)
    unknown = bellwether(folder, *command, "--head", "colour")
    assert (unknown.returncode, "no such head" in unknown.stderr) == (1, True)
    assert not (folder / "pruned").exists()
