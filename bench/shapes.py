"""Encoders of other shapes to measure: random weights, since answers don't matter to a clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from models.encoder import Encoder, load_encoder
from models.encoder_files import EncoderFiles
from models.forward_paths import ForwardPath
from models.heads import JointHeads
from models.predictor import TorchPredictor
from models.spec import DEFAULT_HEADS

SHIPPED = "minilm-l6"
SHAPES: Mapping[str, Mapping[str, Any]] = {
    SHIPPED: {},
    "bert-base": {"model_type": "bert"},
    # Its own vocabulary is larger; the tokenizer here is the default encoder's.
    "modernbert-base": {
        "model_type": "modernbert",
        "vocab_size": 30_522,
        **{f"{name}_token_id": 0 for name in ("pad", "bos", "eos", "cls", "sep")},
    },
}
"""Name to what makes its configuration; everything left out is the original's."""


def shaped(name: str, device: str, path: ForwardPath | None = None) -> TorchPredictor:
    """A predictor over an encoder of that shape, the default heads on it; untrained."""
    plain = load_encoder()
    torch.manual_seed(1)
    kind = AutoConfig.for_model(**SHAPES[name])
    module = AutoModel.from_config(kind).eval()  # type: ignore[no-untyped-call]
    files = EncoderFiles(
        config=kind.to_dict(),
        weights=module.state_dict(),
        tokenizer=plain._tokenizer,  # noqa: SLF001 - made for that vocabulary
        named_tokens={"pad": 0},
        max_tokens=plain.max_tokens,
    )
    encoder = Encoder(files, reference=name, max_tokens=plain.max_tokens, module=module).eval()
    return TorchPredictor(
        encoder,
        JointHeads(DEFAULT_HEADS, encoder.hidden),
        version=f"untrained {name}",
        device=torch.device(device),
        path=path,
    )
