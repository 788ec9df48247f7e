"""What a user asks of a fit, and its identity, so that only the same fit is resumed."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.description import Checkpoint
from trainer.data.labelled_file import LabelledFile
from trainer.fitting.config import FitConfig


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for.

    parent is the checkpoint folder to start from, the shipped one if None; encoder and device are
    those of the settings model.encoder and model.device. folds above 0 choose the
    rate by cross-validation, among rates if given. unlabelled is a file of texts without labels:
    adapt_epochs of masked language modelling on them come before the fit, and with pseudo_label a
    second fit also learns from the answers that the first one is sure of.
    """

    data: LabelledFile
    head: str
    output: Path
    config: FitConfig
    parent: Path | None = None
    encoder: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    validation_share: float = 0.1
    folds: int = 0
    rates: tuple[float, ...] = ()
    unlabelled: Path | None = None
    adapt_epochs: int = 0
    pseudo_label: bool = False


def identity(request: Request, parent: Checkpoint, config: FitConfig, stage: str) -> str:
    """Names everything that decides the fit, so that only the same one is gone on with.

    Device and precision are not among it: they are chosen by measurement, and either goes on well.
    """
    config, data = dataclasses.replace(config, bf16=False), request.data
    # The parent by its version, wherever it lies.
    asked = dataclasses.replace(request, config=config, output=Path(), device="auto", parent=None)
    files = [file for file in (data.path, request.unlabelled, data.mapping) if file]
    facts = [repr(asked), parent.version, stage, *map(sha256, files)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
