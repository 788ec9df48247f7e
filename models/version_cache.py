"""Versions of a registry elsewhere, kept on this machine: each whole, or fetched again."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from models.description import CONFIG, WEIGHTS, read_verified
from models.spec import ModelError


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
