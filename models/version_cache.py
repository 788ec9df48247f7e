"""Versions of a registry elsewhere, kept on this machine: each whole, or fetched again."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from models.description import CONFIG, WEIGHTS, read_verified
from models.spec import ModelError

KEPT_VERSIONS = 5
KEPT_S = 86_400.0
"""Since its last use, in which another process of this machine may be reading a version."""


def cache_folder(address: str) -> Path:
    """Where this user keeps the versions of the registry at that address."""
    name = hashlib.sha256(address.encode()).hexdigest()[:12]
    return Path.home() / ".cache" / "bellwether" / "models" / name


def verify(folder: Path, version: str, *, where: str) -> None:
    """Raises ModelError for a folder that is truncated or edited, or holds another version.

    where begins the message about the latter.
    """
    checkpoint, _ = read_verified(folder)
    if checkpoint.version != version:
        raise ModelError(
            f"{where}: the folder of version {version} holds "
            f"{checkpoint.version}; put the right folder back or promote another version"
        )


def kept(cache: Path, version: str, read: Callable[[str], bytes], *, where: str) -> Path:
    """The verified folder of that version in the cache, which read fills with files by their name.

    Raises ModelError where the registry's own files are not as they were written, or the cache
    can't be.
    """
    target = cache / version
    if target.exists():
        try:
            verify(target, version, where=where)
        except ModelError:
            # A power cut may have left half a file; the registry has it whole.
            shutil.rmtree(target, ignore_errors=True)
        else:
            with suppress(OSError):
                os.utime(target)
            return target
    files = {name: read(name) for name in (WEIGHTS, CONFIG)}
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            partial = Path(temporary) / version
            partial.mkdir()
            for name, content in files.items():
                (partial / name).write_bytes(content)
            # Before it is kept: what is wrong in the registry may be put right there.
            verify(partial, version, where=where)
            try:
                partial.rename(target)
            except OSError:
                # Another process of this machine was first; its folder is the same.
                if not target.exists():
                    raise
    except OSError as error:
        raise ModelError(
            f"{cache}: version {version} can't be kept there "
            f"({error.strerror or error}); free space there, or correct its access rights"
        ) from None
    return target


def prune(cache: Path, in_use: Collection[str], *, now: float | None = None) -> None:
    """Remove what was not used for KEPT_S, but for the KEPT_VERSIONS used last and those in use.

    Also what a process that was killed left half. now is in epoch seconds.
    """
    oldest = (time.time() if now is None else now) - KEPT_S
    found: list[tuple[float, Path]] = []
    with suppress(OSError):
        for folder in cache.iterdir():
            with suppress(OSError):  # another process was first
                found.append((folder.stat().st_mtime, folder))
    for used, folder in sorted(found, reverse=True)[KEPT_VERSIONS:]:
        if used < oldest and folder.name not in in_use:
            shutil.rmtree(folder, ignore_errors=True)
