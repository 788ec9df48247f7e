"""`bellwether fit` as a user runs it: the table, the served model, mistakes, interruptions."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import orjson
import pytest

from tests.integration.command import BELLWETHER, call, process
from tests.tiny_model import write_tiny_checkpoint, write_tiny_encoder

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
def folder(tmp_path: Path, parent: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BELLWETHER_MODEL__DEVICE", "cpu")
    (tmp_path / "parent").symlink_to(parent)
    rows = [f"{t},{'broken' if t.endswith(('failed', 'leaks')) else 'fine'}\n" for t in TEXTS]
    (tmp_path / "own.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    return tmp_path


def test_fitted_head_is_served_beside_the_old_ones_by_one_setting(folder: Path) -> None:
    run = process(*FIT, "--tensorboard", "logs", folder=folder)
    assert run.code == 0, run.errors
    lines = run.out.splitlines()
    assert lines[0] == "head state: 2 labels, 24 texts to learn from, 8 to validate with"
    assert lines[1].startswith("epoch 1: train loss ")
    assert ", val loss " in lines[1]
    assert ", val accuracy state " in lines[1]
    assert "set by the validation texts" in run.out
    assert 'path = "mine"' in run.out
    assert list((folder / "logs").glob("events.*"))

    events = [{"id": str(n), "source": "ticket", "text": text} for n, text in enumerate(TEXTS)]
    (folder / "in.jsonl").write_bytes(b"\n".join(map(orjson.dumps, events)))
    (folder / "bellwether.toml").write_text('[model]\npath = "mine"\nprecision = "fp32"\n')
    run = call("score", "in.jsonl", "--output", "out.jsonl", folder=folder)
    assert run.code == 0, run.errors
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
    run = call(*FIT, "--epochs", "2", "--json", folder=folder)
    assert run.code == 0, run.errors
    (line,) = run.out.splitlines()
    record = orjson.loads(line)
    assert record["version"] == _version(folder / "mine")
    assert [epoch["number"] for epoch in record["epochs"]] == [1, 2]
    assert record["answers_as_before"] == {"mood": 1.0, "kind": 1.0}
    assert record["per_label"].keys() == {"broken", "fine"}
    assert 0.5 <= record["validation_answered"] <= 1.0
    assert 0.0 <= record["validation_wrong_among_answered"] <= 1.0
    assert record["validation_by_source"] == {}
    assert record["calibration"] == {"other": "new"}


def test_a_head_that_the_model_lacks_is_taught_with_more_left_out(folder: Path) -> None:
    (folder / "map.json").write_text('{"broken": "bad", "fine": "good"}')
    chosen = []
    for head, more in (
        ("state", []),
        ("mood", ["--mapping", "map.json"]),
        ("state", ["--hide-words", "0.2"]),
    ):
        output = f"mine-{len(chosen)}"
        command = [*FIT, "--method", "full", "--epochs", "1", "--head", head, "--output", output]
        run = call(*command, *more, folder=folder)
        assert run.code == 0, run.errors
        config = orjson.loads((folder / output / "checkpoint.json").read_bytes())["training"]
        chosen.append([config["config"][name] for name in ("hide_share", "encoder_dropout")])
    assert chosen == [[0.1, 0.1], [0.05, 0.0], [0.2, 0.1]]


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
    run = call(*FIT, *arguments, folder=folder)
    assert run.code == code
    assert named in " ".join(run.errors.split())
    assert "Traceback" not in run.errors
    assert not (folder / "mine").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_fit_leaves_no_model_and_the_same_command_goes_on(
    folder: Path, number: signal.Signals
) -> None:
    command = [*FIT, "--epochs", "120", "--patience", "0"]
    begun = subprocess.Popen(
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
        assert begun.poll() is None, begun.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    begun.send_signal(number)
    _, stderr = begun.communicate(timeout=DEADLINE_S)
    if number == signal.SIGINT:
        assert begun.returncode == 130
        assert "The same command goes on" in stderr
    assert not (folder / "mine").exists()
    evaluate = ("evaluate", "--data", "own.csv", "--head", "mood", "--model", "mine")
    refused = call(*evaluate, folder=folder)
    assert refused.code == 2
    assert "mine does not exist" in refused.errors

    run = call(*command, folder=folder)
    assert run.code == 0, run.errors
    epochs = [line for line in run.out.splitlines() if line.startswith("epoch ")]
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
    run = call(*command, "--output", "pruned", *some, "--json", folder=folder)
    assert run.code == 0, run.errors
    report = orjson.loads(run.out)
    assert len(report["heads_left_out"]) == 1
    assert {way["pruned"] for way in report["ways"]} == {False, True}
    judged = call("evaluate", *command[1:5], "--model", "pruned", "--json", folder=folder)
    assert orjson.loads(judged.out)["n"] == len(lines)
    again = call(*command, "--output", "pruned", *some, folder=folder)
    assert (again.code, "already exists" in again.errors) == (1, True)


def test_prune_names_what_is_wrong(folder: Path) -> None:
    command = ["prune", "--data", "own.csv", "--output", "pruned", "--model", "parent"]
    foreign = call(*command, "--head", "mood", folder=folder)
    assert (foreign.code, "own.csv: row 1: label" in foreign.errors) == (1, True)
    unknown = call(*command, "--head", "colour", folder=folder)
    assert (unknown.code, "no such head" in unknown.errors) == (1, True)
    assert not (folder / "pruned").exists()
