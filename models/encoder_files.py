"""The files of an encoder of BERT's kind, read without transformers.

Importing transformers costs a process seconds and some 200 MB, and a worker that packs its batches
(models/packed.py) needs nothing of it but these files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from tokenizers import Tokenizer

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
FROM_ZERO = ("bert",)
# RoBERTa's kind counts positions from its padding id + 1.
FROM_PADDING = ("roberta", "xlm-roberta", "camembert")
# In files written long ago; it is a row of numbers, not a weight.
NO_WEIGHT = "embeddings.position_ids"
WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
NAMED_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True)
class EncoderFiles:
    """What an encoder is made of, whatever read it.

    config is config.json's content, weights are its parameters by their name there. named_tokens
    gives the ids of those of NAMED_TOKENS that it has; max_tokens is the longest text it takes.
    """

    config: Mapping[str, Any]
    weights: dict[str, torch.Tensor]
    tokenizer: Tokenizer
    named_tokens: Mapping[str, int]
    max_tokens: int


def is_plain(config: Mapping[str, Any]) -> bool:
    """Whether layers of that configuration are those that models/packed.py computes."""
    return (
        config.get("model_type") in (*FROM_ZERO, *FROM_PADDING)
        and config.get("hidden_act", "gelu") == "gelu"
        and not config.get("is_decoder")
        and config.get("position_embedding_type") in (None, "absolute")
        and config.get("embedding_size") in (None, config["hidden_size"])
    )


def read_plain(folder: Path) -> EncoderFiles | None:
    """The files in that folder, weights in float32; None where transformers has to read them.

    Raises OSError or ValueError for files that are there and can't be read.
    """
    files = [folder / name for name in (CONFIG, WEIGHTS, TOKENIZER, TOKENIZER_CONFIG)]
    if not all(file.is_file() for file in files):
        return None
    config, tokenizer_config = (json.loads(file.read_text()) for file in (files[0], files[3]))
    if not is_plain(config):
        return None
    weights = safetensors.torch.load_file(files[1])
    weights.pop(NO_WEIGHT, None)
    if not needed(config) <= weights.keys():
        return None
    # The file stays mapped, with a copy of each page that a checkpoint changes, as long as any of
    # its tensors is held. These are read for ever, and the others only until they are packed.
    with safe_open(files[1], "pt") as alone:
        weights[WORD_EMBEDDINGS] = alone.get_tensor(WORD_EMBEDDINGS)
    try:
        tokenizer = Tokenizer.from_file(str(files[2]))
    except Exception as error:  # noqa: BLE001 - tokenizers raises nothing narrower
        raise ValueError(f"{files[2]}: {error}") from None
    named = {name: tokenizer_config.get(f"{name}_token") for name in NAMED_TOKENS}
    words = {
        name: token["content"] if isinstance(token, dict) else token
        for name, token in named.items()
        if token
    }
    ids = {name: tokenizer.token_to_id(word) for name, word in words.items()}
    return EncoderFiles(
        config=config,
        weights={name: tensor.float() for name, tensor in weights.items()},
        tokenizer=tokenizer,
        named_tokens={name: place for name, place in ids.items() if place is not None},
        max_tokens=min(
            len(weights["embeddings.position_embeddings.weight"]) - first_position(config),
            tokenizer_config.get("model_max_length") or sys.maxsize,
        ),
    )


def first_position(config: Mapping[str, Any]) -> int:
    """Where positions of tokens begin; those before it can't hold one."""
    kind = config["model_type"]
    if kind not in FROM_PADDING and "roberta" not in kind:
        return 0
    return int(config.get("pad_token_id", 1) or 0) + 1


def read_together(layer: str) -> list[str]:
    """The names of the parts of that layer's attention that read the same."""
    return [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]


def needed(config: Mapping[str, Any]) -> set[str]:
    """The names of the weights that the layers of a plain encoder have."""
    modules = [f"embeddings.{kind}_embeddings" for kind in ("word", "position", "token_type")]
    found = {f"{module}.weight" for module in modules}
    pairs = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        inside = f"encoder.layer.{layer}"
        pairs += read_together(inside)
        pairs += [
            f"{inside}.{part}.dense" for part in ("attention.output", "intermediate", "output")
        ]
        pairs += [f"{inside}.{part}.LayerNorm" for part in ("attention.output", "output")]
    return found | {f"{module}.{part}" for module in pairs for part in ("weight", "bias")}
