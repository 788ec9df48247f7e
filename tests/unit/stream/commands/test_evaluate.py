from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import trainer.evaluate
from models.stub import StubPredictor
from stream.commands import evaluate
from stream.config.settings import load_settings


def test_figures_are_tables_that_name_what_a_label_is_taken_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "load_predictor", lambda _settings, _model: StubPredictor())
    data = tmp_path / "in.tsv"
    # The stub answers with the label that stands in the text.
    texts = ["a low one"] * 5, ["a high one"] * 3, ["a medium one"] * 2
    rows = [f"{text} {place}\tlow\tnews" for some in texts for place, text in enumerate(some)]
    rows.append("an unsure low one\tlow\tticket")
    data.write_text("\n".join(["text\tlabel\tsource", *rows]))

    ran = CliRunner().invoke(
        evaluate.evaluate, ["--data", str(data), "--head", "risk"], obj=load_settings(None)
    )

    assert ran.exit_code == 0, ran.output
    shown = {" ".join(line.replace("│", " ").split()) for line in ran.output.splitlines()}
    assert {"texts 11", "accuracy 0.545"} <= shown
    assert {"answered 0.909", "wrong among answered 0.500"} <= shown
    assert {"news 10 0.500 1.000 0.500", "ticket 1 1.000 0.000"} <= shown
    assert "low 11 1.000 0.545 0.706 high 3, medium 2" in shown
    assert "0.87 to 0.93 10 0.900 0.500" in shown


def test_a_remark_on_the_file_can_not_steer_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate_file(*_: object, say: Callable[[str], None], **__: object) -> dict[str, Any]:
        say("1 row with the label \x1b[31mbad is left out")
        return {}

    monkeypatch.setattr(evaluate, "load_predictor", lambda _settings, _model: StubPredictor())
    monkeypatch.setattr(trainer.evaluate, "evaluate_file", evaluate_file)
    data = tmp_path / "in.tsv"
    data.touch()
    command = ["--data", str(data), "--head", "risk", "--json"]
    ran = CliRunner().invoke(evaluate.evaluate, command, obj=load_settings(None), color=True)
    assert ran.stderr == "1 row with the label \\x1b[31mbad is left out\n"
