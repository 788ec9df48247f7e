"""One model folder: the heads, their weights, the encoder's difference; write, verify, read.

checkpoint.json says everything but the numbers; weights.safetensors holds
  heads.weight (labels, hidden), heads.bias (labels,)   every head's labels one after the other
  low_rank.<module>.a (r, in), low_rank.<module>.b (out, r)   b @ a is added to that linear's weight
  encoder.<parameter>   takes that parameter's place (full fine-tuning)
The encoder itself is not inside: it is named, and its fingerprint is checked when both meet.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError

from models.encoder import Encoder
from models.heads import JointHeads
from models.spec import Head, ModelError

FORMAT = 2
CONFIG = "checkpoint.json"
WEIGHTS = "weights.safetensors"
LOW_RANK = "low_rank."
REPLACED = "encoder."


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


def read_checkpoint(folder: Path) -> tuple[Checkpoint, dict[str, torch.Tensor]]:
    """A verified checkpoint and its weights on the CPU.

    Raises ModelError naming the file that is missing, damaged or not what was written.
    """
    if not folder.is_dir():
        raise ModelError(
            f"setting model.path: the folder {folder} does not exist; "
            "correct the path, or leave the setting out for the shipped model"
        )
    config, weights = folder / CONFIG, folder / WEIGHTS
    description = _read(config)
    try:
        # On its own first: another format may well have other fields.
        written = msgspec.json.decode(description, type=_Format).format
        if written != FORMAT:
            raise ModelError(
                f"{config}: has format {written}, this program reads format {FORMAT}; "
                "use the program version that wrote it, or fit the model again"
            )
        checkpoint = msgspec.json.decode(description, type=Checkpoint)
    except msgspec.DecodeError as error:
        raise ModelError(f"{config}: is no checkpoint description ({error}); {_AGAIN}") from None
    if checkpoint.version != _version(checkpoint):
        raise ModelError(f"{config}: was changed after it was written; {_AGAIN}")
    content = _read(weights)
    if hashlib.sha256(content).hexdigest() != checkpoint.weights_sha256:
        raise ModelError(f"{weights}: is not the file that {CONFIG} describes; {_AGAIN}")
    try:
        return checkpoint, safetensors.torch.load(content)
    except SafetensorError as error:
        raise ModelError(f"{weights}: can't be read as safetensors ({error}); {_AGAIN}") from None


def write_checkpoint(
    folder: Path, checkpoint: Checkpoint, weights: Mapping[str, torch.Tensor]
) -> Checkpoint:
    """Write a new folder in one step and return the checkpoint with version and checksum set.

    A checkpoint is never changed in place, since a worker may be reading it: ModelError when the
    folder already holds something.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder}: already exists; choose a new folder or remove this one")
    content = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in weights.items()}
    )
    checkpoint = msgspec.structs.replace(
        checkpoint, weights_sha256=hashlib.sha256(content).hexdigest()
    )
    checkpoint = msgspec.structs.replace(checkpoint, version=_version(checkpoint))
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write(temporary / WEIGHTS, content)
        _write(temporary / CONFIG, msgspec.json.format(msgspec.json.encode(checkpoint)) + b"\n")
        temporary.chmod(0o755)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return checkpoint


def merge(
    checkpoint: Checkpoint, weights: Mapping[str, torch.Tensor], encoder: Encoder
) -> JointHeads:
    """Put the checkpoint's difference into encoder, in place, and return its heads.

    Raises ModelError when the encoder is not the one that the checkpoint was trained on.
    """
    if encoder.fingerprint() != checkpoint.encoder_fingerprint:
        raise ModelError(
            f"setting model.encoder: {encoder.reference!r} is not the encoder that checkpoint "
            f"{checkpoint.version} was trained on ({checkpoint.encoder!r}); leave the setting out, "
            "or fit a checkpoint for this encoder"
        )
    heads = JointHeads(checkpoint.heads, encoder.hidden)
    try:
        heads.linear.load_state_dict(
            {part: weights[f"heads.{part}"].float() for part in ("weight", "bias")}
        )
        parameters = dict(encoder.model.named_parameters())
        with torch.no_grad():
            # In this order a replaced parameter comes before what is added to it.
            for name, tensor in sorted(weights.items()):
                if name.startswith(REPLACED):
                    parameters[name.removeprefix(REPLACED)].copy_(tensor)
                elif name.startswith(LOW_RANK) and name.endswith(".a"):
                    module = name.removeprefix(LOW_RANK).removesuffix(".a")
                    up = weights[f"{LOW_RANK}{module}.b"].float()
                    parameters[f"{module}.weight"].add_(up @ tensor.float())
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"checkpoint {checkpoint.version}: {WEIGHTS} fits neither its encoder nor its heads "
            f"({error}); fit the model again"
        ) from None
    return heads.eval()


_AGAIN = "copy the whole folder again, or fit the model again"


def _version(checkpoint: Checkpoint) -> str:
    unnamed = msgspec.structs.replace(checkpoint, version="")
    content = msgspec.json.encode(unnamed, order="sorted")
    return f"{checkpoint.name}-{hashlib.sha256(content).hexdigest()[:12]}"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: can't be read ({error.strerror}); {_AGAIN}") from None


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
