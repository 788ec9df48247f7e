"""Files that are whole or not there at all."""

from __future__ import annotations

from pathlib import Path

from models.atomic_files import put_whole, remove_whole


def test_what_a_killed_writer_left_goes_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine [1].state"
    put_whole(file, b"whole")
    (tmp_path / ".mine [1].state-0a1b2c3d").write_bytes(b"ha")
    (tmp_path / ".mine 1.state-0a1b2c3d").write_bytes(b"another's")
    remove_whole(file)
    assert [left.name for left in tmp_path.iterdir()] == [".mine 1.state-0a1b2c3d"]
    remove_whole(file)
