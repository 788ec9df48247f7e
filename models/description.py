"""checkpoint.json, which describes a model folder, and the checksums that find a damaged one.

Reads no tensors, so that a list of versions needs no torch.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from models.spec import Head, ModelError

FORMAT = 2
CONFIG = "checkpoint.json"
WEIGHTS = "weights.safetensors"

_AGAIN = "copy the whole folder again, or fit the model again"


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """checkpoint.json. training and metrics are for people and for comparing checkpoints.

    version is the name and a hash of everything else here, weights_sha256 included, so two
    checkpoints of one version are the same model.
    """

    format: int = FORMAT
    name: str
    version: str = ""
    encoder: str
    encoder_fingerprint: str
    max_tokens: int
    heads: tuple[Head, ...]
    weights_sha256: str = ""
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}


class _Format(msgspec.Struct):
    format: int


def shipped() -> Path:
    """The folder of the checkpoint that comes with the package."""
    return Path(str(resources.files("models").joinpath("base")))


def read_verified(folder: Path) -> tuple[Checkpoint, bytes]:
    """The description of a model folder and the bytes of its weights, both as they were written.

    Raises ModelError naming the file that is missing, damaged or not what was written.
    """
    if not folder.is_dir():
        raise ModelError(
            f"the model folder {folder} does not exist; correct the path, or the setting "
            "model.path if it came from there"
        )
    config, weights = folder / CONFIG, folder / WEIGHTS
    checkpoint = read_description(_read(config), str(config))
    content = _read(weights)
    if hashlib.sha256(content).hexdigest() != checkpoint.weights_sha256:
        raise ModelError(f"{weights}: is not the file that {CONFIG} describes; {_AGAIN}")
    return checkpoint, content


def read_description(content: bytes, where: str) -> Checkpoint:
    """A checkpoint.json by its content; where begins every message. Raises ModelError."""
    try:
        # On its own first: another format may well have other fields.
        written = msgspec.json.decode(content, type=_Format).format
        if written != FORMAT:
            raise ModelError(
                f"{where}: has format {written}, this program reads format {FORMAT}; "
                "use the program version that wrote it, or fit the model again"
            )
        checkpoint = msgspec.json.decode(content, type=Checkpoint)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{where}: is no checkpoint description ({error}); {_AGAIN}") from None
    if checkpoint.version != _version(checkpoint):
        raise ModelError(f"{where}: was changed after it was written; {_AGAIN}")
    return checkpoint


def sealed(checkpoint: Checkpoint, weights: bytes) -> Checkpoint:
    """The description with the checksum of those weights, and the version that follows from all."""
    digest = hashlib.sha256(weights).hexdigest()
    checkpoint = msgspec.structs.replace(checkpoint, weights_sha256=digest)
    return msgspec.structs.replace(checkpoint, version=_version(checkpoint))


def _version(checkpoint: Checkpoint) -> str:
    unnamed = msgspec.structs.replace(checkpoint, version="")
    content = msgspec.json.encode(unnamed, order="sorted")
    return f"{checkpoint.name}-{hashlib.sha256(content).hexdigest()[:12]}"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: can't be read ({error.strerror}); {_AGAIN}") from None
