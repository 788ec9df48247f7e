from __future__ import annotations

import errno
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.checkpoint import read_checkpoint, write_checkpoint
from models.description import CONFIG, WEIGHTS
from models.registry import CHAMPION, AliasMovedError, Registry
from models.spec import ModelError
from models.version_cache import KEPT_VERSIONS
from tests.full_disk import full_disk

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)


@pytest.fixture(params=["folder", "object store"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    store = str(tmp_path / "registry")
    address = store if request.param == "folder" else f"memory://{store}"
    return Registry(address, cache=tmp_path / "cache")


def other_version(checkpoint: Path, folder: Path) -> str:
    described, weights = read_checkpoint(checkpoint)
    weights["heads.bias"] = weights["heads.bias"] + 1
    return write_checkpoint(folder, described, weights).version


def test_a_version_that_was_added_is_served_as_it_was_written(
    registry: Registry, tiny_checkpoint: Path
) -> None:
    added = registry.add(tiny_checkpoint)
    assert [one.version for one in registry.versions()] == [added.version]
    served, weights = read_checkpoint(registry.folder(added.version))
    original, original_weights = read_checkpoint(tiny_checkpoint)
    assert served == original
    assert weights.keys() == original_weights.keys()


def test_adding_a_version_twice_keeps_one(registry: Registry, tiny_checkpoint: Path) -> None:
    registry.add(tiny_checkpoint)
    registry.add(tiny_checkpoint)
    assert len(registry.versions()) == 1


def test_an_alias_moves_and_remembers_where_it_was(
    registry: Registry, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    first = registry.add(tiny_checkpoint).version
    second = other_version(tiny_checkpoint, tmp_path / "second")
    registry.add(tmp_path / "second")
    assert registry.alias(CHAMPION) is None
    registry.point(CHAMPION, first, by="ann", why="first", now=NOW)
    registry.point(CHAMPION, second, by="bob", why="better", now=NOW)
    now = registry.alias(CHAMPION)
    assert now is not None
    assert (now.version, now.previous, now.number, now.by) == (second, first, 2, "bob")
    assert [move.version for move in registry.history(CHAMPION)] == [first, second]


def test_an_alias_points_to_nothing_that_is_not_there(registry: Registry) -> None:
    with pytest.raises(ModelError, match="has no version 'tiny-123'"):
        registry.point(CHAMPION, "tiny-123", by="ann", why="", now=NOW)
    assert registry.alias(CHAMPION) is None


@pytest.mark.parametrize("name", ["", "../tiny", "a/b", ".hidden"])
def test_a_version_name_never_leaves_the_registry(registry: Registry, name: str) -> None:
    with pytest.raises(ModelError, match="is no version's name"):
        registry.folder(name)


def test_a_half_written_version_is_not_seen(tiny_checkpoint: Path, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add(tiny_checkpoint).version
    (tmp_path / "registry" / "versions" / version / CONFIG).unlink()
    assert registry.versions() == []
    with pytest.raises(ModelError, match="has no version"):
        registry.folder(version)
    registry.add(tiny_checkpoint)
    assert registry.folder(version).is_dir()


@pytest.mark.parametrize("file", [WEIGHTS, CONFIG])
def test_on_a_full_disk_no_version_is_seen_until_there_is_room(
    tiny_checkpoint: Path, tmp_path: Path, file: str
) -> None:
    described, weights = read_checkpoint(tiny_checkpoint)
    weights["heads.bias"] = weights["heads.bias"] + 1
    if file == CONFIG:  # more than the weights, so that they fit and it does not
        described = msgspec.structs.replace(described, training={"note": "long " * 20_000})
    version = write_checkpoint(tmp_path / "new", described, weights).version
    sizes = {name: (tmp_path / "new" / name).stat().st_size for name in (WEIGHTS, CONFIG)}
    registry = Registry(str(tmp_path / "registry"))
    earlier = registry.add(tiny_checkpoint).version
    registry.point(CHAMPION, earlier, by="ann", why="first", now=NOW)
    with (
        full_disk(sizes[file] - 100),
        pytest.raises(ModelError, match=rf"registry: .*/{version}/{file} can't be written.*free"),
    ):
        registry.add(tmp_path / "new")
    assert [one.version for one in registry.versions()] == [earlier]
    left = tmp_path / "registry" / "versions" / version
    assert file not in {one.name for one in left.iterdir()}
    assert not list(left.glob(".*"))
    registry.add(tmp_path / "new")
    registry.point(CHAMPION, version, by="ann", why="better", now=NOW)
    assert registry.folder(version).is_dir()


def test_a_damaged_copy_in_the_cache_is_fetched_again(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    registry = Registry(f"memory://{tmp_path}/registry", cache=tmp_path / "cache")
    version = registry.add(tiny_checkpoint).version
    (registry.folder(version) / WEIGHTS).write_bytes(b"")
    assert read_checkpoint(registry.folder(version))[0].version == version


def test_what_was_not_used_for_long_leaves_the_cache_and_what_is_live_stays(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    registry = Registry(f"memory://{tmp_path}/registry", cache=cache)
    live = registry.add(tiny_checkpoint).version
    registry.point(CHAMPION, live, by="ann", why="first", now=NOW)
    registry.folder(live)
    for age in range(KEPT_VERSIONS):
        (cache / f"old-{age}").mkdir()
    (cache / "read-lately").mkdir()
    a_week_ago = time.time() - 7 * 86_400
    for seconds, folder in enumerate([*sorted(cache.glob("old-*")), cache / live]):
        os.utime(folder, (a_week_ago - seconds, a_week_ago - seconds))
    newest = other_version(tiny_checkpoint, tmp_path / "second")
    registry.add(tmp_path / "second")
    assert registry.folder(newest).is_dir()
    kept = {folder.name for folder in cache.iterdir()}
    assert {live, newest, "read-lately"} <= kept
    assert f"old-{KEPT_VERSIONS - 1}" not in kept
    os.utime(cache / live, (a_week_ago, a_week_ago))
    registry.folder(live)
    assert (cache / live).stat().st_mtime > a_week_ago + 86_400


def test_a_swapped_version_is_served_once_the_right_one_is_back(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    registry = Registry(f"memory://{tmp_path}/registry", cache=tmp_path / "cache")
    version = registry.add(tiny_checkpoint).version
    other_version(tiny_checkpoint, tmp_path / "other")
    place = f"{tmp_path}/registry/versions/{version}"
    for name in (CONFIG, WEIGHTS):
        registry._files.pipe_file(f"{place}/{name}", (tmp_path / "other" / name).read_bytes())
    with pytest.raises(ModelError, match=f"folder of version {version} holds"):
        registry.folder(version)
    for name in (CONFIG, WEIGHTS):
        registry._files.pipe_file(f"{place}/{name}", (tiny_checkpoint / name).read_bytes())
    assert read_checkpoint(registry.folder(version))[0].version == version


def test_a_full_disk_under_the_cache_keeps_no_half_of_a_version(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    registry = Registry(f"memory://{tmp_path}/registry", cache=cache)
    version = registry.add(tiny_checkpoint).version
    with (
        full_disk(1_000),
        pytest.raises(ModelError, match=rf"{cache}: version {version} can't be kept there.*free"),
    ):
        registry.folder(version)
    assert list(cache.iterdir()) == []
    assert registry.folder(version).is_dir()


def test_half_a_move_on_a_full_disk_leaves_the_alias_where_it_was(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add(tiny_checkpoint).version
    second = other_version(tiny_checkpoint, tmp_path / "second")
    registry.add(tmp_path / "second")
    registry.point(CHAMPION, version, by="ann", why="first", now=NOW)
    with full_disk(50), pytest.raises(ModelError, match=r"champion/00000002.json can't be written"):
        registry.point(CHAMPION, second, by="bob", why="better", now=NOW)
    alias = registry.alias(CHAMPION)
    assert alias is not None
    assert alias.version == version
    assert registry.point(CHAMPION, second, by="bob", why="better", now=NOW).version == second


@pytest.mark.parametrize("file", [WEIGHTS, CONFIG])
def test_a_truncated_version_is_refused(tiny_checkpoint: Path, tmp_path: Path, file: str) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add(tiny_checkpoint).version
    place = tmp_path / "registry" / "versions" / version / file
    place.write_bytes(place.read_bytes()[:-20])
    with pytest.raises(ModelError):
        registry.folder(version)


@pytest.mark.parametrize("file", [WEIGHTS, CONFIG])
def test_a_damaged_version_that_is_added_again_is_whole_again(
    registry: Registry, tiny_checkpoint: Path, file: str
) -> None:
    version = registry.add(tiny_checkpoint).version
    place = f"{registry._version(version)}/{file}"
    registry._files.pipe_file(place, registry._files.cat_file(place)[:-20])
    registry.add(tiny_checkpoint)
    assert read_checkpoint(registry.folder(version))[0].version == version


class StoreIsAwayError(Exception):
    """As s3fs gives botocore's, which is no OSError."""


@pytest.mark.parametrize("call", ["ls", "exists", "cat_file", "makedirs"])
def test_a_store_that_can_not_be_reached_is_named_whatever_it_raises(
    registry: Registry, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    version = registry.add(tiny_checkpoint).version
    registry.point(CHAMPION, version, by="ann", why="first", now=NOW)

    def away(*_: object, **__: object) -> None:
        raise StoreIsAwayError("could not connect to the endpoint")

    monkeypatch.setattr(registry._files, call, away)
    with pytest.raises(ModelError, match=r"model.registry: .*could not connect to the endpoint"):
        registry.point(CHAMPION, version, by="ann", why="again", now=NOW)


def test_an_edited_description_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add(tiny_checkpoint).version
    place = tmp_path / "registry" / "versions" / version / CONFIG
    place.write_bytes(place.read_bytes().replace(b"good", b"fine"))
    with pytest.raises(ModelError, match="was changed after it was written"):
        registry.folder(version)


def test_an_edited_version_is_named_and_hides_no_other(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    registry = Registry(str(tmp_path / "registry"))
    edited = registry.add(tiny_checkpoint).version
    whole = other_version(tiny_checkpoint, tmp_path / "second")
    registry.add(tmp_path / "second")
    place = tmp_path / "registry" / "versions" / edited / CONFIG
    place.write_bytes(place.read_bytes().replace(b"good", b"fine"))
    assert [one.version for one in registry.versions()] == [whole]
    _, (words,) = registry.survey()
    assert f"version {edited}: was changed after it was written" in words


def test_swapped_versions_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    first = registry.add(tiny_checkpoint).version
    other_version(tiny_checkpoint, tmp_path / "second")
    place = tmp_path / "registry" / "versions" / first
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "second", place)
    with pytest.raises(ModelError, match="put the right folder back"):
        registry.folder(first)


def test_a_damaged_copy_from_an_object_store_is_not_kept(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    registry = Registry(f"memory://{tmp_path}/registry", cache=tmp_path / "cache")
    version = registry.add(tiny_checkpoint).version
    place = f"{tmp_path}/registry/versions/{version}/{WEIGHTS}"
    whole = registry._files.cat_file(place)
    registry._files.pipe_file(place, whole[:-8])
    with pytest.raises(ModelError, match="is not the file"):
        registry.folder(version)
    registry._files.pipe_file(place, whole)
    assert registry.folder(version).is_dir()


def test_a_move_whose_writer_was_killed_never_happened(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add(tiny_checkpoint).version
    registry.point(CHAMPION, version, by="ann", why="first", now=NOW)
    half = tmp_path / "registry" / "aliases" / CHAMPION / "00000002.json"
    half.write_bytes(b'{"alias":"champ')
    now = registry.alias(CHAMPION)
    assert now is not None
    assert now.number == 1
    assert registry.point(CHAMPION, version, by="bob", why="again", now=NOW).number == 3


def test_an_address_nobody_can_open_names_the_setting() -> None:
    with pytest.raises(ModelError, match=r"setting model\.registry"):
        Registry("nosuchprotocol://somewhere")


def test_an_unknown_version_is_named_with_those_that_there_are(
    registry: Registry, tiny_checkpoint: Path
) -> None:
    known = registry.add(tiny_checkpoint).version
    with pytest.raises(ModelError, match=rf"has no version 'tiny-123' \(it has {known}\)"):
        registry.describe("tiny-123")


def test_of_two_writers_of_one_move_one_looks_again(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both looked before either wrote, so that neither saw the other's file."""
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add(tiny_checkpoint).version
    registry.clear(CHAMPION, by="eve", why="first", now=NOW)
    places = registry._places
    looks = iter([{}, places(CHAMPION)])
    monkeypatch.setattr(registry, "_places", lambda _: next(looks))
    there = registry._files.exists
    monkeypatch.setattr(
        registry._files, "exists", lambda place: "/aliases/" not in place and there(place)
    )
    registry.point(CHAMPION, version, by="ann", why="second", now=NOW)
    monkeypatch.setattr(registry, "_places", places)
    moves = registry.history(CHAMPION)
    assert [(move.number, move.why) for move in moves] == [(1, "first"), (2, "second")]


@pytest.fixture
def two(registry: Registry, tiny_checkpoint: Path, tmp_path: Path) -> tuple[str, str]:
    return two_in(registry, tiny_checkpoint, tmp_path)


def two_in(registry: Registry, checkpoint: Path, tmp_path: Path) -> tuple[str, str]:
    """Two versions; the first one is champion by move 1."""
    first = registry.add(checkpoint).version
    second = other_version(checkpoint, tmp_path / "second")
    registry.add(tmp_path / "second")
    registry.point(CHAMPION, first, by="ann", why="first", now=NOW, after=0)
    return first, second


def test_who_knows_the_last_move_moves_the_alias_and_who_does_not_moves_nothing(
    registry: Registry, two: tuple[str, str]
) -> None:
    first, second = two
    assert registry.point(CHAMPION, second, by="bob", why="", now=NOW, after=1).number == 2
    for after in (0, 1, 3):
        with pytest.raises(AliasMovedError, match=f"bob moved it to {second} meanwhile"):
            registry.point(CHAMPION, first, by="eve", why="", now=NOW, after=after)
    assert [move.version for move in registry.history(CHAMPION)] == [first, second]
    # Who does not ask overrides, as an operator may.
    assert registry.point(CHAMPION, first, by="eve", why="", now=NOW).number == 3


def test_a_move_that_was_done_already_is_not_done_again(
    registry: Registry, two: tuple[str, str]
) -> None:
    done = registry.point(CHAMPION, two[1], by="bob", why="better", now=NOW, after=1)
    assert registry.point(CHAMPION, two[1], by="eve", why="mine", now=NOW, after=1) == done
    assert len(registry.history(CHAMPION)) == 2


def test_a_move_between_look_and_write_refuses_who_did_not_see_it(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(str(tmp_path / "registry"))
    first, second = two_in(registry, tiny_checkpoint, tmp_path)
    write, others = registry._write, Registry(str(tmp_path / "registry"))

    def late(place: str, content: bytes, *, new: bool = False) -> None:
        if len(others.history(CHAMPION)) == 1:
            others.point(CHAMPION, first, by="eve", why="insists", now=NOW)
        write(place, content, new=new)

    monkeypatch.setattr(registry, "_write", late)
    with pytest.raises(AliasMovedError, match="eve moved it"):
        registry.point(CHAMPION, second, by="bob", why="better", now=NOW, after=1)
    assert [move.by for move in registry.history(CHAMPION)] == ["ann", "eve"]


def test_a_move_that_is_just_being_written_is_not_passed_over(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read half, it would count as one that never happened, and both writers would win."""
    registry = Registry(str(tmp_path / "registry"))
    first, second = two_in(registry, tiny_checkpoint, tmp_path)
    others, opened, met = Registry(str(tmp_path / "registry")), Path.open, list[str]()

    def slow(file: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        found = opened(file, mode, *arguments, **named)
        if mode in {"xb", "wb"} and not met:
            met.append(file.name)
            others.point(CHAMPION, first, by="eve", why="insists", now=NOW, after=1)
        return found

    monkeypatch.setattr(Path, "open", slow)
    with pytest.raises(AliasMovedError, match="eve moved it"):
        registry.point(CHAMPION, second, by="bob", why="better", now=NOW, after=1)
    assert met
    assert [move.by for move in registry.history(CHAMPION)] == ["ann", "eve"]


def test_a_file_system_without_links_takes_moves_too(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add(tiny_checkpoint).version
    assert registry.point(CHAMPION, version, by="ann", why="first", now=NOW).number == 1
    assert registry.point(CHAMPION, version, by="ann", why="again", now=NOW).number == 2


def test_half_a_move_does_not_count_as_a_move_since(tiny_checkpoint: Path, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = registry.add(tiny_checkpoint).version
    registry.point(CHAMPION, version, by="ann", why="first", now=NOW)
    half = tmp_path / "registry" / "aliases" / CHAMPION / "00000002.json"
    half.write_bytes(b'{"alias":"champ')
    assert registry.point(CHAMPION, version, by="bob", why="", now=NOW, after=1).number == 3


def test_where_an_alias_points_is_one_read_however_often_it_moved(
    registry: Registry, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2, 12):
        registry.point(CHAMPION, two[number % 2], by="bob", why=f"{number}", now=NOW)
    read, reads = registry._read, []
    monkeypatch.setattr(registry, "_read", lambda place: reads.append(place) or read(place))
    now = registry.alias(CHAMPION)
    assert now is not None
    assert (now.number, now.why, len(reads)) == (11, "11", 1)


def test_the_stamp_of_a_version_changes_with_its_files_and_only_then(
    registry: Registry, tiny_checkpoint: Path
) -> None:
    version = read_checkpoint(tiny_checkpoint)[0].version
    missing = registry.stamp(version)
    registry.add(tiny_checkpoint)
    whole = registry.stamp(version)
    assert whole not in ("", missing)
    registry.folder(version)
    assert registry.stamp(version) == whole
    registry._write(f"{registry._version(version)}/{WEIGHTS}", b"truncated")
    assert registry.stamp(version) != whole
