"""Atomic file writes: a file is whole or not there, however a process ends or a disk fills."""

from __future__ import annotations

import errno
import glob
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# What os.link fails with where a file system has no links.
WITHOUT_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def write_through(file: Path, content: bytes, *, new: bool = False) -> None:
    """Return when the disk has it. new: FileExistsError where the file is there already."""
    with file.open("xb" if new else "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def put_new(file: Path, content: bytes) -> None:
    """Write a file that is not there yet, in one step; of two writers the second fails.

    Raises FileExistsError.
    """
    temporary = _beside(file)
    try:
        write_through(temporary, content)
        os.link(temporary, file)
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        write_through(file, content, new=True)
    finally:
        temporary.unlink(missing_ok=True)


def put_whole(file: Path, content: bytes) -> None:
    """Write the file, or replace it, in one step."""
    with written_whole(file) as out:
        out.write(content)


@contextmanager
def written_whole(file: Path) -> Iterator[BinaryIO]:
    """What is written within replaces the file at the end; an error leaves it as it was."""
    temporary = _beside(file)
    try:
        with temporary.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def remove_whole(file: Path) -> None:
    """Remove a file that put_whole writes, and what killed writers of it have left beside it."""
    for left in file.parent.glob(f".{glob.escape(file.name)}-*"):
        left.unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def _beside(file: Path) -> Path:
    return file.with_name(f".{file.name}-{uuid.uuid4().hex[:8]}")
