"""Versions of the model on a shared folder or object store, and who is champion and challenger.

<address>/versions/<version>/   one checkpoint folder each; never changed once it is whole
<address>/aliases/<alias>/<number>.json   every time the alias moved; the highest number holds
A version exists from the moment its checkpoint.json is there, which is written last and holds the
checksum of the weights, so a half-written one is never seen and a damaged one never served. A file
of a version appears whole or not at all: an object store sees to that, and in a folder we do.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import fsspec  # type: ignore[import-untyped]
import msgspec

from models.atomic_files import put_new, put_whole
from models.description import CONFIG, WEIGHTS, Checkpoint, read_description, read_verified
from models.spec import ModelError
from models.version_cache import cache_folder, kept, prune, verify

CHAMPION = "champion"
CHALLENGER = "challenger"
"""The version in shadow beside the champion, if any."""
ATTEMPTS = 5


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """Which version an alias names, since when, by whom and why.

    number counts the moves of the alias from 1; previous is the version it named before. version is
    empty where it names none since.
    """

    alias: str
    version: str
    number: int
    since: datetime
    by: str
    why: str
    previous: str = ""


class AliasMovedError(ModelError):
    """Somebody moved the alias since the caller looked; nothing was done."""


class Registry:
    """Safe for several writers: a version is named by its content, an alias moves by one at a time.

    address is a folder or anything that fsspec speaks (s3://..., gs://..., memory://...). Every
    method raises ModelError where the address can't be read or written.
    """

    def __init__(self, address: str, *, cache: Path | None = None) -> None:
        """cache: where versions from other machines are kept; a folder of this user's if None."""
        self.address = address
        try:
            self._files, self._root = fsspec.core.url_to_fs(address)
        except Exception as error:  # noqa: BLE001 - each store has errors of its own
            raise ModelError(
                f"setting model.registry: {address!r} can't be opened ({error}); give a folder, or "
                "an address whose fsspec package is installed (s3fs for s3://)"
            ) from None
        self._local = "file" in self._files.protocol
        if self._local:
            self._root = str(Path(address.removeprefix("file://")).expanduser().absolute())
        self._cache = cache or cache_folder(address)

    def add(self, folder: Path) -> Checkpoint:
        """Copy a verified checkpoint folder in; of a version that is there, what was damaged."""
        checkpoint, weights = read_verified(folder)
        place = self._version(checkpoint.version)
        for name, content in ((WEIGHTS, weights), (CONFIG, (folder / CONFIG).read_bytes())):
            file = f"{place}/{name}"
            if not self._exists(file) or self._read(file) != content:
                self._write(file, content)
        return checkpoint

    def versions(self) -> list[Checkpoint]:
        """The whole versions, in the order of their names; weights are not read."""
        return self.survey()[0]

    def survey(self) -> tuple[list[Checkpoint], list[str]]:
        """versions(), and of each whose description was changed since, what to do about it."""
        whole: list[Checkpoint] = []
        damaged: list[str] = []
        for place in sorted(self._list(f"{self._root}/versions")):
            if self._exists(f"{place}/{CONFIG}"):
                content = self._read(f"{place}/{CONFIG}")
                version = place.rpartition("/")[2]
                try:
                    whole.append(read_description(content, f"{self.address}: version {version}"))
                except ModelError as error:
                    damaged.append(str(error))
        return whole, damaged

    def has(self, version: str) -> bool:
        """Whether the version is there whole; it may have been changed since."""
        return self._exists(f"{self._version(version)}/{CONFIG}")

    def stamp(self, version: str) -> str:
        """What changes when the version's files do, without reading them."""
        place = self._version(version)
        try:
            self._files.invalidate_cache()
            files = [f"{place}/{name}" for name in (WEIGHTS, CONFIG)]
            return " ".join(self._files.ukey(file) for file in files if self._exists(file))
        except FileNotFoundError:
            return ""  # gone since
        except Exception as error:  # noqa: BLE001 - as above
            raise self._unreachable(error) from None

    def describe(self, version: str) -> Checkpoint:
        """A version's description; ModelError where there is none or it was changed."""
        place = f"{self._version(version)}/{CONFIG}"
        self._check_there(version)
        return read_description(self._read(place), f"{self.address}: version {version}")

    def folder(self, version: str) -> Path:
        """A verified folder of that version on this machine, copied here first where need be.

        Raises ModelError for an unknown, truncated, swapped or edited version.
        """
        place = self._version(version)
        self._check_there(version)
        where = f"registry {self.address}"
        if not self._local:
            known = (self._cache / version).exists()
            found = kept(
                self._cache, version, lambda name: self._read(f"{place}/{name}"), where=where
            )
            if not known:
                with suppress(ModelError):  # the version is there; another time will do
                    aliases = [self.alias(name) for name in (CHAMPION, CHALLENGER)]
                    prune(self._cache, {version, *(one.version for one in aliases if one)})
            return found
        verify(Path(place), version, where=where)
        return Path(place)

    def alias(self, name: str) -> Alias | None:
        """Where the alias points now, None if it was never set."""
        return self._newest(self._places(name))

    def version_of(self, name: str) -> str:
        """The version that the alias names now, "" where it names none."""
        alias = self.alias(name)
        return alias.version if alias else ""

    def history(self, name: str) -> list[Alias]:
        """Every move of the alias, the first one first; reads them all."""
        moves = (self._decoded(place) for _, place in sorted(self._places(name).items()))
        return [move for move in moves if move]

    def point(
        self, name: str, version: str, *, by: str, why: str, now: datetime, after: int | None = None
    ) -> Alias:
        """Move an alias to a verified version and return the move; two writers can't both win.

        after: the number of the alias's last move as the caller knows it, 0 before the first, None
        to move it wherever it is. Where somebody moved it elsewhere since, raises AliasMovedError
        and moves nothing; where they moved it to this version, returns their move.
        """
        self.folder(version)
        return self._move(name, version, by=by, why=why, now=now, after=after)

    def clear(self, name: str, *, by: str, why: str, now: datetime) -> Alias:
        """Have an alias name no version from now on."""
        return self._move(name, "", by=by, why=why, now=now, after=None)

    def _move(
        self, name: str, version: str, *, by: str, why: str, now: datetime, after: int | None
    ) -> Alias:
        for _ in range(ATTEMPTS):
            # Of one look: a move that another writer makes after it takes the number that we want.
            places = self._places(name)
            before = self._newest(places)
            if after is not None and after != (before.number if before else 0):
                if before and before.version == version:
                    # Also where a write of ours was said to have failed, and had arrived.
                    return before
                there = f"{before.by} moved it to {before.version}" if before else "it is gone"
                raise AliasMovedError(
                    f"registry {self.address}: the alias {name!r} does not move to {version}, "
                    f"since {there} meanwhile; look at it again"
                )
            move = Alias(
                alias=name,
                version=version,
                number=max(places, default=0) + 1,
                since=now,
                by=by,
                why=why,
                previous=before.version if before else "",
            )
            place = f"{self._root}/aliases/{name}/{move.number:08d}.json"
            try:
                self._write(place, msgspec.json.encode(move), new=True)
            except FileExistsError:
                continue
            return move
        raise ModelError(
            f"registry {self.address}: others move the alias {name!r} all the time; try again"
        )

    def _places(self, name: str) -> dict[int, str]:
        """The files of an alias's moves by their numbers; none is read."""
        found = {}
        for place in self._list(f"{self._root}/aliases/{name}"):
            stem = place.rpartition("/")[2].removesuffix(".json")
            if stem.isdecimal():
                found[int(stem)] = place
        return found

    def _newest(self, places: dict[int, str]) -> Alias | None:
        """The last move; those before it are not read, since an alias only ever gets more."""
        moves = (self._decoded(places[number]) for number in sorted(places, reverse=True))
        return next((move for move in moves if move), None)

    def _decoded(self, place: str) -> Alias | None:
        try:
            return msgspec.json.decode(self._read(place), type=Alias)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Whoever wrote it was killed half-way and told nobody; the move never happened.
            return None

    def _version(self, version: str) -> str:
        if not version or "/" in version or version.startswith("."):
            raise ModelError(
                f"version {version!r}: is no version's name; see `bellwether models list`"
            )
        return f"{self._root}/versions/{version}"

    def _check_there(self, version: str) -> None:
        if not self.has(version):
            known = ", ".join(one.version for one in self.versions()) or "none yet"
            raise ModelError(
                f"registry {self.address}: has no version {version!r} (it has {known}); "
                "see `bellwether models list`"
            )

    def _list(self, folder: str) -> list[str]:
        try:
            self._files.invalidate_cache()
            return [str(place).rstrip("/") for place in self._files.ls(folder, detail=False)]
        except FileNotFoundError:
            return []
        except Exception as error:  # noqa: BLE001 - as above
            raise self._unreachable(error) from None

    def _exists(self, place: str) -> bool:
        try:
            return bool(self._files.exists(place))
        except Exception as error:  # noqa: BLE001 - as above
            raise self._unreachable(error) from None

    def _read(self, place: str) -> bytes:
        try:
            content: bytes = self._files.cat_file(place)
        except Exception as error:  # noqa: BLE001 - as above
            raise self._unreachable(error) from None
        return content

    def _write(self, place: str, content: bytes, *, new: bool = False) -> None:
        try:
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
            # Half a move of an alias counts as none, see history().
            if self._local and new:
                # fsspec looks before it writes, so that two writers could both win.
                put_new(Path(place), content)
            elif self._local:
                put_whole(Path(place), content)
            else:
                self._files.pipe_file(place, content, mode="create" if new else "overwrite")
        except FileExistsError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            raise ModelError(
                f"setting model.registry: {place} can't be written ({_said(error)}); "
                "free space there, or correct the address or its access rights"
            ) from None

    def _unreachable(self, error: Exception) -> ModelError:
        return ModelError(
            f"setting model.registry: {self.address} can't be used "
            f"({_said(error)}); correct it or its access rights"
        )


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
