"""Commands that read a model without serving it begin with the one that the worker serves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import trainer.data.labelled_file
import trainer.fitting.tune
import trainer.prune
from models.checkpoint import read_checkpoint
from models.description import shipped
from models.registry import CHAMPION, Registry
from stream.commands.chosen_model import how_to_serve, model_folder
from stream.commands.fit import fit
from stream.commands.prune import prune
from stream.config.settings import Settings
from trainer.data.labelled_file import Labelled
from trainer.fitting.pseudo_labels import Report
from trainer.fitting.request import Request

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMMON = ["--data", "own.tsv", "--head", "mood", "--output", "out"]


class Begun(Exception):  # noqa: N818 - no error: the work would begin here
    pass


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"model": {"registry": str(tmp_path / "registry")}})


def crowned(settings: Settings, tiny_checkpoint: Path) -> str:
    registry = Registry(str(settings.model.registry))
    version = registry.add(tiny_checkpoint).version
    registry.point(CHAMPION, version, by="ann", why="test", now=NOW)
    return version


def test_the_champion_goes_before_path_and_the_shipped_model(settings, tiny_checkpoint, tmp_path):
    assert model_folder(settings) == shipped()
    with_path = settings.model_copy(
        update={"model": settings.model.model_copy(update={"path": tmp_path})}
    )
    assert model_folder(with_path) == tmp_path
    version = crowned(settings, tiny_checkpoint)
    assert model_folder(with_path).name == version
    assert model_folder(with_path, tmp_path / "named") == tmp_path / "named"


def test_fit_and_prune_start_from_the_champion(
    settings, tiny_checkpoint, tmp_path, monkeypatch
) -> None:
    version = crowned(settings, tiny_checkpoint)
    started: list[str] = []

    def tune(request: Request, **_: Any) -> None:
        started.append(read_checkpoint(request.parent or shipped())[0].version)
        raise Begun

    def leave_out(checkpoint: Any, *_: Any, **__: Any) -> None:
        started.append(checkpoint.version)
        raise Begun

    monkeypatch.setattr(trainer.fitting.tune, "tune", tune)
    monkeypatch.setattr(trainer.prune, "prune", leave_out)
    monkeypatch.chdir(tmp_path)
    Path("own.tsv").write_text("text\tlabel\nfine\tgood\n")
    for command in (fit, prune):
        ran = CliRunner().invoke(command, COMMON, obj=settings)
        assert isinstance(ran.exception, Begun), ran.output
    assert started == [version, version]


def test_what_fit_and_prune_say_of_a_file_can_not_steer_the_terminal(
    settings, tiny_checkpoint, tmp_path, monkeypatch
) -> None:
    crowned(settings, tiny_checkpoint)
    bad = "\x1b[31mbad"

    def tune(*_: Any, say: Callable[[object], None], **__: Any) -> None:
        say(Report("mood", asked=2, sure=1, consistent=1, by_label={bad: 1}))
        raise Begun

    def read_labelled(*_: Any, **__: Any) -> Labelled:
        return Labelled([], [f"1 row with the label {bad} 1 is left out"])

    monkeypatch.setattr(trainer.fitting.tune, "tune", tune)
    monkeypatch.setattr(trainer.data.labelled_file, "read_labelled", read_labelled)
    monkeypatch.chdir(tmp_path)
    Path("own.tsv").touch()
    for command in (fit, prune):
        ran = CliRunner().invoke(command, COMMON, obj=settings, color=True)
        assert r"\x1b[31mbad 1" in ran.output
        assert "\x1b" not in ran.output


def test_what_was_written_is_served_through_the_registry_where_there_is_one(settings):
    said = how_to_serve(settings, Path("out/queue"), "queue-1")
    assert "models add out/queue" in said
    assert "models promote queue-1" in said
    assert 'path = "out/queue"' in how_to_serve(Settings(), Path("out/queue"), "queue-1")
