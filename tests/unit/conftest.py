from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from models.predictor import TorchPredictor, load_predictor
from tests.tiny_model import write_tiny_checkpoint, write_tiny_encoder

# How long an example takes is the machine's affair.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def tiny_checkpoint(tmp_path: Path, tiny_encoder: Path) -> Path:
    folder = tmp_path / "checkpoint"
    write_tiny_checkpoint(folder, tiny_encoder)
    return folder


@pytest.fixture(scope="session")
def shipped_fp32() -> TorchPredictor:
    return load_predictor(device="cpu", precision="fp32")
