"""A fit's state between two epochs, in one file, so that an interrupted fit can go on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from models.atomic_files import put_whole
from trainer.errors import FitError


class State(NamedTuple):
    """tensors by name, and facts that JSON can hold: whose fit it is and how far it came."""

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]


def state_path(output: Path, stage: str = "labelled") -> Path:
    """Where the state of the fit into that folder lies: beside it, never inside."""
    return output.with_name(f"{output.name}.{stage}.unfinished.safetensors")


def check_output(output: Path) -> None:
    """Raises FitError where a fit could not write its output in the end, before it begins."""
    if output.exists():
        raise FitError(f"--output {output}: already exists; choose a new folder")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise FitError(
            f"--output {output}: can't be written ({error.strerror}); choose another place or "
            "correct its access rights"
        ) from None


def write_state(file: Path, state: State) -> None:
    """Replace the file in one step: a kill leaves the old state or the new one.

    Raises FitError when it can't be written; the old state is still there then.
    """
    tensors = {name: value.detach().contiguous() for name, value in state.tensors.items()}
    facts = {"facts": json.dumps(state.facts)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        put_whole(file, safetensors.torch.save(tensors, metadata=facts))
    except OSError as error:
        raise FitError(
            f"{file}: what the fit has learnt can't be kept ({error}); free space there or "
            "correct its access rights, and start the same fit again: it goes on from the last "
            "epoch that was kept"
        ) from None


def read_state(file: Path, *, same: Mapping[str, Any]) -> State | None:
    """The state, if there is one and its facts hold everything of same; else None.

    A file that can't be read, or of another fit, is no state: the fit then begins anew.
    """
    if not file.exists():
        return None
    try:
        with safe_open(file, framework="pt") as stored:
            facts = json.loads(stored.metadata()["facts"])
            if any(facts.get(name) != value for name, value in same.items()):
                return None
            return State({name: stored.get_tensor(name) for name in stored.keys()}, facts)  # noqa: SIM118 - no dict
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
