"""One model folder: the heads, their weights, the encoder's difference; write, verify, read.

checkpoint.json says everything but the numbers; weights.safetensors holds
  heads.weight (labels, hidden), heads.bias (labels,)   every head's labels one after the other
  low_rank.<module>.a (r, in), low_rank.<module>.b (out, r)   b @ a is added to that linear's weight
  encoder.<parameter>   takes that parameter's place (full fine-tuning)
The encoder itself is not inside: it is named, and its fingerprint is checked when both meet.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError

from models.atomic_files import write_through
from models.description import CONFIG, WEIGHTS, Checkpoint, read_verified, sealed
from models.encoder import Encoder
from models.heads import JointHeads
from models.spec import ModelError

HEADS = "heads."
LOW_RANK = "low_rank."
REPLACED = "encoder."


def read_checkpoint(folder: Path) -> tuple[Checkpoint, dict[str, torch.Tensor]]:
    """A verified checkpoint and its weights on the CPU.

    Raises ModelError naming the file that is missing, damaged or not what was written.
    """
    checkpoint, content = read_verified(folder)
    try:
        return checkpoint, safetensors.torch.load(content)
    except SafetensorError as error:
        raise ModelError(
            f"{folder / WEIGHTS}: can't be read as safetensors ({error}); fit the model again"
        ) from None


def write_checkpoint(
    folder: Path, checkpoint: Checkpoint, weights: Mapping[str, torch.Tensor]
) -> Checkpoint:
    """Write a new folder in one step and return the checkpoint with version and checksum set.

    A checkpoint is never changed in place, since a worker may be reading it: ModelError when the
    folder already holds something, or can't be written.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder}: already exists; choose a new folder or remove this one")
    content = safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in weights.items()}
    )
    checkpoint = sealed(checkpoint, content)
    try:
        _put(folder, content, msgspec.json.format(msgspec.json.encode(checkpoint)) + b"\n")
    except OSError as error:
        raise ModelError(
            f"{folder}: can't be written ({error.strerror or error}); "
            "free space there, or choose another folder"
        ) from None
    return checkpoint


def _put(folder: Path, weights: bytes, config: bytes) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write_through(temporary / WEIGHTS, weights)
        write_through(temporary / CONFIG, config)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


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
    heads = merge_heads(checkpoint, weights, encoder.hidden)
    try:
        add_difference(weights, encoder)
    except (KeyError, RuntimeError) as error:
        raise _unfit(checkpoint, error) from None
    return heads


def add_difference(weights: Mapping[str, torch.Tensor], encoder: Encoder) -> None:
    """Put a difference into encoder, in place, whatever it holds already.

    Raises KeyError or RuntimeError where a parameter is missing or has another shape.
    """
    parameters = encoder.weights
    with torch.no_grad():
        # In this order a replaced parameter comes before what is added to it.
        for name, tensor in sorted(weights.items()):
            if name.startswith(REPLACED):
                parameters[name.removeprefix(REPLACED)].copy_(tensor)
            elif name.startswith(LOW_RANK) and name.endswith(".a"):
                module = name.removeprefix(LOW_RANK).removesuffix(".a")
                up = weights[f"{LOW_RANK}{module}.b"].float()
                parameters[f"{module}.weight"].add_(up @ tensor.float())


def encoder_key(checkpoint: Checkpoint, weights: Mapping[str, torch.Tensor]) -> str:
    """Equal for two checkpoints that differ in nothing but their heads and what is said of them."""
    digest = hashlib.sha256(f"{checkpoint.encoder_fingerprint} {checkpoint.max_tokens}".encode())
    for name, tensor in sorted(weights.items()):
        if not name.startswith(HEADS):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def merge_heads(
    checkpoint: Checkpoint, weights: Mapping[str, torch.Tensor], hidden: int
) -> JointHeads:
    """The checkpoint's heads for pooled vectors of that width. Raises ModelError."""
    heads = JointHeads(checkpoint.heads, hidden)
    try:
        heads.linear.load_state_dict(
            {part: weights[f"{HEADS}{part}"].float() for part in ("weight", "bias")}
        )
    except (KeyError, RuntimeError) as error:
        raise _unfit(checkpoint, error) from None
    return heads.eval()


def stored_heads(heads: JointHeads) -> dict[str, torch.Tensor]:
    """Their weights as a checkpoint has them, for merge_heads to read; the memory is shared."""
    return {f"{HEADS}{part}": value for part, value in heads.linear.state_dict().items()}


def _unfit(checkpoint: Checkpoint, error: Exception) -> ModelError:
    return ModelError(
        f"checkpoint {checkpoint.version}: {WEIGHTS} fits neither its encoder nor its heads "
        f"({error}); fit the model again"
    )
