from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.commands import score
from stream.config.settings import load_settings
from stream.files.lines import InputError


def test_score_without_its_input_says_so_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(score, "load_predictor", load)
    arguments = [str(tmp_path / "absent"), "--output", str(tmp_path / "out")]
    ran = CliRunner().invoke(score.score, arguments, obj=load_settings(None))
    assert isinstance(ran.exception, InputError)


def test_score_says_that_it_writes_to_a_file_only() -> None:
    ran = CliRunner().invoke(score.score, ["in.jsonl", "--output", "-"], obj=load_settings(None))
    assert ran.exit_code == 2
    assert "--output" in ran.output
    assert "name one" in ran.output
