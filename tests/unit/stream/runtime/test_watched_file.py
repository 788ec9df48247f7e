"""A watched file is read again when it says something else and has come to rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream.runtime.watched_file import WatchedFile


class Written:
    """A file whose times differ each time, however coarse the clock is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._times = 0

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self._times += 1
        os.utime(self.path, ns=(self._times * 10**9, self._times * 10**9))


@pytest.fixture
def written(tmp_path: Path) -> Written:
    made = Written(tmp_path / "rules.toml")
    made.write("old")
    return made


def test_one_that_is_still_being_written_is_left_alone(written: Written) -> None:
    watched = WatchedFile(written.path)
    for part in ("", "ne"):
        written.write(part)
        assert not watched.changed()
    written.write("new")
    assert [watched.changed() for _ in range(3)] == [False, True, False]


def test_the_same_content_is_no_change(written: Written) -> None:
    watched = WatchedFile(written.path)
    written.write("old")
    assert [watched.changed() for _ in range(3)] == [False, False, False]


def test_one_that_goes_and_comes_back_changed_twice(written: Written) -> None:
    watched = WatchedFile(written.path)
    written.path.unlink()
    assert [watched.changed() for _ in range(3)] == [False, True, False]
    written.write("old")
    assert [watched.changed() for _ in range(3)] == [False, True, False]
