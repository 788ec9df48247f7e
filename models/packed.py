"""The encoder's forward pass without padding: the tokens of all texts lie end to end.

Linear layers and layer norms see tokens only, whatever text they belong to; only attention looks at
texts one by one. The idea is that of Zhai et al. 2023, "ByteTransformer" (IPDPS): padding costs
time in proportion and changes no answer, so it is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling

from models.attention import choose
from models.encoder import Encoder
from models.encoder_files import WORD_EMBEDDINGS, first_position, read_together

# The layout of a weight is chosen for a number of rows; others run on it as well.
PACK_ROWS = 1024
# Of the numbers of rows that batches come in.
LEAST_STEP, MOST_STEP = 16, 64

Precision = Literal["fp32", "bf16", "int8"]
Step = Callable[[torch.Tensor], torch.Tensor]
Weights = Mapping[str, torch.Tensor]
Layer = Callable[[torch.Tensor, Step], torch.Tensor]
"""From what the layer before left, still to be normed, and attention to what this one leaves."""


@dataclass(frozen=True)
class _FloatLayer:
    norm: Step
    qkv: Step
    attended: Step
    attended_norm: Step
    widen: Step
    narrow: Step

    def __call__(self, x: torch.Tensor, attend: Step) -> torch.Tensor:
        x = self.norm(x)
        x = self.attended_norm(x.add_(self.attended(attend(self.qkv(x)))))
        return x.add_(self.narrow(self.widen(x)))


class PackedEncoder:
    """The same vectors as Encoder.pool, from a copy of its weights as they are now.

    Of the encoder's own it keeps the word embeddings, and in fp32 the weights of its layers.
    bf16 rounds the inputs and weights of linear layers and attention, as use_bf16_linears does; the
    residual stream and the layer norms stay float32. Heads of attention that add nothing to their
    layer, as trainer/prune.py makes them, are left out.
    """

    def __init__(self, encoder: Encoder, precision: Literal["fp32", "bf16"]) -> None:
        """An encoder that is plain."""
        self._device = encoder.device
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        # In float32 the layout gains nothing over torch's own linear (measured); in bfloat16 it
        # saves laying the weight out anew on each call.
        self._by_onednn = self._device.type == "cpu" and precision == "bf16" and multiplies_bf16()
        self._few_sizes = self._by_onednn
        self._hidden = encoder.hidden
        heads = int(encoder.config["num_attention_heads"])
        self._head_size = self._hidden // heads
        self._attention = choose(self._device, self._dtype, heads, self._head_size)
        self._epsilon = float(encoder.config.get("layer_norm_eps", 1e-12))
        weights = encoder.weights
        self._words = weights[WORD_EMBEDDINGS]
        self._places = (
            weights["embeddings.position_embeddings.weight"][first_position(encoder.config) :]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        names = [f"encoder.layer.{at}" for at in range(encoder.config["num_hidden_layers"])]
        norms = ["embeddings", *(f"{name}.output" for name in names)]
        self._layers = [
            self._layer(weights, name, norm) for name, norm in zip(names, norms, strict=False)
        ]
        self._last_norm = self._layer_norm(weights, norms[-1])

    def pool(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Means of the last layer over each text's tokens: (n, hidden), float32."""
        if self._few_sizes and (spare := spare_rows(sum(map(len, tokens)))):
            return self._pool([*tokens, [0] * spare])[:-1]
        return self._pool(tokens)

    def _pool(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        lengths = np.fromiter(map(len, tokens), dtype=np.int64, count=len(tokens))
        order = np.argsort(lengths, kind="stable")
        lengths = lengths[order]
        ids = np.fromiter(
            itertools.chain.from_iterable(tokens[at] for at in order),
            dtype=np.int64,
            count=int(lengths.sum()),
        )
        ends = lengths.cumsum()
        texts = np.repeat(np.arange(len(lengths)), lengths)
        within = np.arange(len(ids)) - np.repeat(ends - lengths, lengths)
        x = F.embedding(self._to_device(ids), self._words)
        x += F.embedding(self._to_device(within), self._places)
        attend = self._attention(lengths)
        for layer in self._layers:
            x = layer(x, attend)
        x = self._last_norm(x)
        sums = x.new_zeros(len(lengths), self._hidden)
        sums.index_add_(0, self._to_device(texts), x)
        pooled = torch.empty_like(sums)
        pooled[self._to_device(order)] = sums / self._to_device(lengths)[:, None]
        return pooled

    def _layer(self, weights: Weights, name: str, norm: str) -> Layer:
        reads = read_together(name)
        live = self._live(weights[f"{name}.attention.output.dense.weight"])
        return _FloatLayer(
            norm=self._layer_norm(weights, norm),
            qkv=self._linear(weights, *reads, outputs=live),
            attended=self._linear(weights, f"{name}.attention.output.dense", inputs=live),
            attended_norm=self._layer_norm(weights, f"{name}.attention.output"),
            widen=self._linear(weights, f"{name}.intermediate.dense", gelu=True),
            narrow=self._linear(weights, f"{name}.output.dense"),
        )

    def _layer_norm(self, weights: Weights, name: str) -> Step:
        # Copies, as a few numbers would keep the whole file that they were read from.
        weight, bias = (weights[f"{name}.LayerNorm.{part}"].clone() for part in ("weight", "bias"))
        return lambda x: F.layer_norm(x, (self._hidden,), weight, bias, self._epsilon)

    def _live(self, output: torch.Tensor) -> torch.Tensor | None:
        """Inputs of an attention's output layer, less those of heads that it multiplies by 0.

        None for all of them.
        """
        of_heads = output.view(self._hidden, -1, self._head_size)
        heads = of_heads.abs().amax((0, 2)) > 0
        if heads.all():
            return None
        heads[0] |= ~heads.any()
        return heads.repeat_interleave(self._head_size).nonzero()[:, 0]

    def _linear(
        self,
        weights: Weights,
        *names: str,
        inputs: torch.Tensor | None = None,
        outputs: torch.Tensor | None = None,
        gelu: bool = False,
    ) -> Step:
        """One linear layer, or that part of it; several that read the same become one."""
        weight = joined(weights, [f"{name}.weight" for name in names], outputs).to(self._dtype)
        bias = joined(weights, [f"{name}.bias" for name in names], outputs).to(self._dtype)
        if inputs is not None:
            weight = weight[:, inputs].contiguous()
        if self._by_onednn:
            return _onednn_linear(weight, bias, gelu=gelu)
        if gelu:
            return lambda x: torch.ops.aten.gelu_(F.linear(x.to(weight.dtype), weight, bias))
        return lambda x: F.linear(x.to(weight.dtype), weight, bias)

    def _to_device(self, array: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device, non_blocking=True)


def joined(weights: Weights, names: Sequence[str], rows: torch.Tensor | None) -> torch.Tensor:
    """Layers that read the same as one, or those rows of each; a lone one is not copied."""
    found = [weights[name] if rows is None else weights[name][rows] for name in names]
    return torch.cat(found) if found[1:] else found[0]


def spare_rows(rows: int) -> int:
    """How many rows to add, so that batches come in few sizes.

    oneDNN compiles a product for each number of rows that it has not seen: 22 ms for 1,000 rows of
    MiniLM's widest layer, where the product itself takes 1 ms. At most a sixteenth is added, or 15;
    and no more than the shortest encoder has places for.
    """
    return -rows % min(MOST_STEP, max(LEAST_STEP, (1 << rows.bit_length()) >> 5))


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16; without them it is slower than float32."""
    able = torch.cpu.get_capabilities()
    if able["architecture"] == "x86_64":
        # oneDNN would also offer it on AVX-512 alone, where it loses by two to one.
        return bool(able["avx512_bf16"] or able["amx_bf16"])
    return bool(
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001 - no public way
    )


def _onednn_linear(weight: torch.Tensor, bias: torch.Tensor, *, gelu: bool) -> Step:
    """A linear layer whose weight is laid out for oneDNN once, and whose GELU is fused."""
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, PACK_ROWS)  # noqa: SLF001
    run = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
    dtype = weight.dtype  # alone: the function must not hold the weight as well
    then, how = ("gelu", "none") if gelu else ("none", "")

    def linear(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = run(x.to(dtype), laid_out, bias, then, [], how)
        return found

    return linear
