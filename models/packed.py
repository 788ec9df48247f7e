"""The encoder's forward pass without padding: the tokens of all texts lie end to end.

Linear layers and layer norms see tokens only, whatever text they belong to; only attention looks at
texts one by one. The idea is that of Zhai et al. 2023, "ByteTransformer" (IPDPS): padding costs
time in proportion and changes no answer, so it is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling
from torch import nn

from models.encoder import Encoder

# How far the first usable position lies from 0: RoBERTa's kind counts from its padding id + 1.
FROM_ZERO = ("bert",)
FROM_PADDING = ("roberta", "xlm-roberta", "camembert")

# Attention over texts of unequal length pads them to the longest. It is 2 % of the work, and a call
# costs as much as a text or two, so a group may be this much longer than its shortest text.
GROUP_STRETCH = 1.25
GROUP_SLACK = 4
# The layout of a oneDNN weight is chosen for a number of rows; others run on it as well.
PACK_ROWS = 1024

Linear = Callable[[torch.Tensor], torch.Tensor]
Lengths = npt.NDArray[np.int64]


class Group(NamedTuple):
    """Neighbouring texts that share one call of attention, padded to the longest of them.

    rows: their slice of the padded block, texts x longest. mask: (texts, 1, 1, longest), added to
    the attention's logits; None where nothing is padded.
    """

    rows: slice
    texts: int
    longest: int
    mask: torch.Tensor | None


class Block(NamedTuple):
    """How packed tokens are laid out for attention and brought back.

    source: for each row of the block, the token that stands there; padding repeats a token, which
    the mask hides. place: for each token, its row. Both None where no group is padded.
    """

    groups: list[Group]
    source: torch.Tensor | None
    place: torch.Tensor | None


class _Layer(NamedTuple):
    qkv: Linear
    attended: Linear
    attended_norm: nn.LayerNorm
    widen: Linear
    narrow: Linear
    norm: nn.LayerNorm


def can_pack(encoder: Encoder) -> bool:
    """Whether this encoder is of the kind whose layers are rebuilt here."""
    config: Any = encoder.model.config
    return (
        config.model_type in (*FROM_ZERO, *FROM_PADDING)
        and config.hidden_act == "gelu"
        and not config.is_decoder
        and getattr(config, "position_embedding_type", None) in (None, "absolute")
        and getattr(config, "embedding_size", config.hidden_size) == config.hidden_size
    )


class PackedEncoder:
    """The same vectors as Encoder.pool, from a copy of its weights as they are now.

    bf16 rounds the inputs and weights of linear layers and attention, as use_bf16_linears does;
    the residual stream and the layer norms stay float32.
    """

    def __init__(self, encoder: Encoder, precision: Literal["fp32", "bf16"]) -> None:
        """An encoder that satisfies can_pack."""
        model: Any = encoder.model
        self._device = encoder.device
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._heads = int(model.config.num_attention_heads)
        self._hidden = encoder.hidden
        embeddings = model.embeddings
        self._words = embeddings.word_embeddings.weight.detach()
        first = 0
        if model.config.model_type in FROM_PADDING:
            first = int(model.config.pad_token_id) + 1
        self._places = (
            embeddings.position_embeddings.weight[first:]
            + embeddings.token_type_embeddings.weight[0]
        ).detach()
        self._norm = embeddings.LayerNorm
        self._layers = [self._layer(layer) for layer in model.encoder.layer]

    def pool(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Means of the last layer over each text's tokens: (n, hidden), float32."""
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
        x = self._norm(x)
        attend = self._attention(lengths)
        for layer in self._layers:
            x = layer.attended_norm(x.add_(layer.attended(attend(layer.qkv(x)))))
            x = layer.norm(x.add_(layer.narrow(layer.widen(x))))
        sums = x.new_zeros(len(lengths), self._hidden)
        sums.index_add_(0, self._to_device(texts), x)
        pooled = torch.empty_like(sums)
        pooled[self._to_device(order)] = sums / self._to_device(lengths)[:, None]
        return pooled

    def _attention(self, lengths: Lengths) -> Linear:
        if self._device.type == "cuda" and self._dtype == torch.bfloat16:
            return self._by_offsets(lengths)
        block = _block(lengths, self._dtype, self._device)
        return lambda qkv: self._by_groups(qkv, block)

    def _by_groups(self, qkv: torch.Tensor, block: Block) -> torch.Tensor:
        rows = qkv if block.source is None else qkv.index_select(0, block.source)
        out = rows.new_empty(len(rows), self._hidden)
        for group in block.groups:
            shape = group.texts, group.longest
            q, k, v = rows[group.rows].view(*shape, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            found = F.scaled_dot_product_attention(q, k, v, attn_mask=group.mask)
            out[group.rows].view(*shape, self._heads, -1).copy_(found.transpose(1, 2))
        return out if block.place is None else out.index_select(0, block.place)

    def _by_offsets(self, lengths: Lengths) -> Linear:
        # The kernel of FlashAttention (Dao 2023) reads where texts begin; it has bfloat16 only.
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - loads CUDA code

        offsets = self._to_device(np.concatenate([[0], lengths.cumsum()]).astype(np.int32))
        longest = int(lengths.max())

        def attend(qkv: torch.Tensor) -> torch.Tensor:
            q, k, v = qkv.view(len(qkv), 3, self._heads, -1).unbind(1)
            found = varlen_attn(q, k, v, offsets, offsets, longest, longest)
            return cast("torch.Tensor", found).reshape(len(qkv), self._hidden)

        return attend

    def _layer(self, layer: Any) -> _Layer:
        attention = layer.attention
        reads = (attention.self.query, attention.self.key, attention.self.value)
        return _Layer(
            qkv=self._linear(
                torch.cat([read.weight for read in reads]), torch.cat([read.bias for read in reads])
            ),
            attended=self._linear(attention.output.dense.weight, attention.output.dense.bias),
            attended_norm=attention.output.LayerNorm,
            widen=self._linear(
                layer.intermediate.dense.weight, layer.intermediate.dense.bias, gelu=True
            ),
            narrow=self._linear(layer.output.dense.weight, layer.output.dense.bias),
            norm=layer.output.LayerNorm,
        )

    def _linear(self, weight: torch.Tensor, bias: torch.Tensor, *, gelu: bool = False) -> Linear:
        weight, bias = weight.detach().to(self._dtype), bias.detach().to(self._dtype)
        # In float32 the layout gains nothing over torch's own linear (measured); in bfloat16 it
        # saves laying the weight out anew on each call.
        if self._device.type == "cpu" and self._dtype == torch.bfloat16 and multiplies_bf16():
            return _onednn_linear(weight, bias, gelu=gelu)
        if gelu:
            return lambda x: torch.ops.aten.gelu_(F.linear(x.to(weight.dtype), weight, bias))
        return lambda x: F.linear(x.to(weight.dtype), weight, bias)

    def _to_device(self, array: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device, non_blocking=True)


def group_lengths(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Cut ascending lengths into slices [low, high) near enough to be padded to one length."""
    groups = []
    low = 0
    for high, length in enumerate(lengths):
        if length > max(lengths[low] * GROUP_STRETCH, lengths[low] + GROUP_SLACK):
            groups.append((low, high))
            low = high
    groups.append((low, len(lengths)))
    return groups


def _block(lengths: Lengths, dtype: torch.dtype, device: torch.device) -> Block:
    groups = []
    sources = []
    places = []
    token = row = 0
    for low, high in group_lengths(lengths.tolist()):
        mine = lengths[low:high, None]
        longest = int(mine[-1, 0])
        within = np.arange(longest)
        real = within < mine
        first = token + np.concatenate([[0], mine[:-1, 0].cumsum()])
        sources.append((first[:, None] + np.minimum(within, mine - 1)).ravel())
        places.append(row + real.ravel().nonzero()[0])
        mask = None
        if mine[0, 0] != longest:
            hidden = np.where(real, 0.0, -np.inf)[:, None, None]
            mask = torch.from_numpy(hidden).to(device, dtype)
        groups.append(Group(slice(row, row + real.size), high - low, longest, mask))
        token += int(mine.sum())
        row += real.size
    if row == token:
        return Block(groups, None, None)
    source, place = (torch.from_numpy(np.concatenate(part)) for part in (sources, places))
    return Block(groups, source.to(device), place.to(device))


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16; without them it is ten times slower."""
    return bool(
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001 - no public way
    )


def _onednn_linear(weight: torch.Tensor, bias: torch.Tensor, *, gelu: bool) -> Linear:
    """A linear layer whose weight is laid out for oneDNN once, and whose GELU is fused."""
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, PACK_ROWS)  # noqa: SLF001
    run = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
    then, how = ("gelu", "none") if gelu else ("none", "")

    def linear(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = run(x.to(weight.dtype), laid_out, bias, then, [], how)
        return found

    return linear
