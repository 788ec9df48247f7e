"""What `models show` and `models diff` say of a version, so that a person can follow."""

from __future__ import annotations

from pathlib import Path

import msgspec
import orjson
import pytest
from click.testing import CliRunner, Result

from models.checkpoint import read_checkpoint, write_checkpoint
from models.description import CONFIG, WEIGHTS
from models.registry import CHALLENGER, CHAMPION, Registry
from stream.cli import main
from stream.commands.version_view import learnt, lineage, moves, told
from tests.fakes import NOON

VERDICT = {
    "promoted": True,
    "reasons": ["better on mood of news, recent: 0.100 to 0.900 of 40 texts"],
    "changes": [
        {"name": "mood of news, recent", "n": 40, "champion": 0.1, "challenger": 0.9}
        | {"low": 0.7, "high": 0.9}
    ],
}


class Shelf:
    def __init__(self, folder: Path, first: Path) -> None:
        self.registry = Registry(str(folder / "registry"))
        self.first = self.registry.add(first).version
        checkpoint, weights = read_checkpoint(first)
        training = {"parent": self.first, "root": self.first, "speed": "fast", "labels": 40}
        described = msgspec.structs.replace(
            checkpoint, training=training, metrics={"verdict": VERDICT}
        )
        weights["heads.bias"] = weights["heads.bias"] + 1
        self.second = write_checkpoint(folder / "second", described, weights).version
        self.registry.add(folder / "second")
        for alias, version, why in (
            (CHAMPION, self.first, "the first version"),
            (CHALLENGER, self.second, "better on mood"),
            (CHAMPION, self.second, "in shadow mood differs in 1 of 20 (5.0 %)"),
        ):
            self.registry.point(alias, version, by="trainer", why=why, now=NOON)
        self.registry.clear(CHALLENGER, by="trainer", why="promoted: in shadow", now=NOON)

    def told(self, version: str, *figures: str) -> str:
        checkpoint = self.registry.describe(version)
        descent = lineage(self.registry, checkpoint)
        return "\n".join(
            f"{name}: {text}" for name, text in told(checkpoint, descent, self.registry, figures)
        )


@pytest.fixture
def shelf(tmp_path: Path, tiny_checkpoint: Path) -> Shelf:
    return Shelf(tmp_path, tiny_checkpoint)


def test_a_version_tells_where_it_comes_from_and_why_it_was_promoted(shelf: Shelf) -> None:
    story = shelf.told(shelf.second)
    assert f"lineage: {shelf.second} <- {shelf.first}" in story
    assert f"learnt: fast fit of 40 labels, from the weights of {shelf.first}" in story
    assert "verdict: promoted\n: better on mood of news, recent: 0.100 to 0.900 of 40" in story
    assert "mood of news, recent: 0.100 to 0.900 of 40 texts (difference +0.700 to +0.900)" in story
    assert "shadow: since 2026-03-12 12:00:00 UTC, by trainer: better on mood" in story
    assert ": until 2026-03-12 12:00:00 UTC, by trainer: promoted: in shadow" in story
    assert "champion: since 2026-03-12 12:00:00 UTC, by trainer: in shadow mood differs" in story
    assert "head mood: 2 labels" in story


def test_what_it_answers_in_shadow_so_far_stands_with_its_time_there(shelf: Shelf) -> None:
    story = shelf.told(shelf.second, "mood differs in 2 of 9 (22.2 %)")
    assert ": mood differs in 2 of 9 (22.2 %)\nchampion: since" in story


def test_a_version_that_no_trainer_made_says_so(shelf: Shelf) -> None:
    story = shelf.told(shelf.first)
    assert f"lineage: {shelf.first}\nverdict: none in it: no trainer made it" in story
    assert "shadow: never" in story
    assert "champion: since 2026-03-12 12:00:00 UTC, by trainer: the first version" in story
    assert ": until 2026-03-12 12:00:00 UTC, by trainer: in shadow mood differs" in story
    assert learnt(shelf.registry.describe(shelf.first)) == ""


def test_lineage_ends_where_the_registry_does(shelf: Shelf, tmp_path: Path) -> None:
    checkpoint = shelf.registry.describe(shelf.second)
    orphan = msgspec.structs.replace(checkpoint, version="v3", training={"parent": "long-gone"})
    assert lineage(shelf.registry, orphan) == ["v3", "long-gone"]
    own = msgspec.structs.replace(checkpoint, version="v4", training={"parent": "v4"})
    assert lineage(shelf.registry, own) == ["v4"]


def test_moves_are_those_to_a_version_and_away_from_it(shelf: Shelf) -> None:
    assert [one.version for one in moves(shelf.registry, CHALLENGER, shelf.second)] == [
        shelf.second,
        "",
    ]
    assert moves(shelf.registry, CHALLENGER, shelf.first) == []


def run(shelf: Shelf, folder: Path, *arguments: str) -> Result:
    settings = folder / "bellwether.toml"
    settings.write_text(f'[model]\nregistry = "{shelf.registry.address}"\n')
    return CliRunner().invoke(main, ["--config", str(settings), "models", *arguments])


def test_a_damaged_version_is_named_and_hides_no_other(shelf: Shelf, tmp_path: Path) -> None:
    place = tmp_path / "registry" / "versions" / shelf.first
    weights = place / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-9])
    shown = run(shelf, tmp_path, "show", shelf.first, "--json")
    assert f"{weights}: is not the file that" in orjson.loads(shown.stdout)["damage"]
    assert orjson.loads(run(shelf, tmp_path, "show", shelf.second, "--json").stdout)["damage"] == ""
    config = place / CONFIG
    config.write_bytes(config.read_bytes().replace(b"good", b"fine"))
    words = f"version {shelf.first}: was changed after it was written"
    assert words in run(shelf, tmp_path, "list").stderr
    listed = orjson.loads(run(shelf, tmp_path, "list", "--json").stdout)
    assert [one["version"] for one in listed["models"]] == [shelf.second]
    assert words in listed["damaged"][0]


def test_versions_that_differ_in_their_weights_alone_are_told_apart(
    shelf: Shelf, tmp_path: Path
) -> None:
    checkpoint, weights = read_checkpoint(shelf.registry.folder(shelf.second))
    weights["heads.bias"] = weights["heads.bias"] + 1
    third = write_checkpoint(tmp_path / "third", checkpoint, weights).version
    shelf.registry.add(tmp_path / "third")
    assert "weights_sha256" in run(shelf, tmp_path, "diff", shelf.second, third).stdout


@pytest.mark.parametrize("command", [["promote", "any"], ["rollback"]])
def test_a_move_of_the_champion_needs_a_reason(shelf: Shelf, command: list[str]) -> None:
    ran = CliRunner().invoke(main, ["models", *command, "--why", " "])
    assert ran.exit_code == 2
    assert "--why': is blank" in ran.output


def test_reliability_is_a_line_a_head_without_empty_bins(shelf: Shelf) -> None:
    empty = {"n": 0, "confidence": None, "accuracy": None}
    bins = [empty, {"n": 4, "confidence": 0.61, "accuracy": 0.5}, empty]
    bins.append({"n": 9, "confidence": 0.97, "accuracy": 1.0})
    checkpoint = msgspec.structs.replace(
        shelf.registry.describe(shelf.first), metrics={"reliability": {"mood": bins}}
    )
    rows = dict(told(checkpoint, [shelf.first], shelf.registry, []))
    assert rows["reliability: mood"] == "0.61 right 0.50 of 4, 0.97 right 1.00 of 9"
