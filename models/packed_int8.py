"""The packed forward pass in int8: bytes go into linear layers, and where it can be, come out."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from models.encoder import Encoder
from models.encoder_files import read_together
from models.int8 import Int8Linear, cut_to_bytes, feed_forward
from models.int8_ranges import seen_inputs
from models.packed import Layer, PackedEncoder, Step, Weights, joined, multiplies_bf16


@dataclass(frozen=True)
class _Int8Layer:
    norm: Step
    qkv: Int8Linear
    attended: Int8Linear
    attended_norm: Step
    widen: Int8Linear
    narrow: Int8Linear
    attention: torch.dtype

    def __call__(self, x: torch.Tensor, attend: Step) -> torch.Tensor:
        x = self.norm(x)
        found = attend(self.qkv(self.qkv.to_bytes(x), self.attention)).float()
        self.attended.add_to(x, cut_to_bytes(found.add_(self.attended.zero + 0.5)))
        x = self.attended_norm(x)
        self.narrow.add_to(x, self.widen.gelu_bytes(self.widen.to_bytes(x), self.narrow))
        return x


class Int8Encoder(PackedEncoder):
    """Inputs and weights of linear layers are rounded to bytes, attention to bfloat16 where the CPU
    has it; the residual stream and the layer norms stay float32.
    """

    def __init__(self, encoder: Encoder) -> None:
        """An encoder that is plain and on the CPU."""
        self._ranges = seen_inputs(encoder)
        super().__init__(encoder, "bf16" if multiplies_bf16() else "fp32")
        del self._ranges
        self._few_sizes = True

    def _layer(self, weights: Weights, name: str, norm: str) -> Layer:
        output = f"{name}.attention.output.dense"
        live = self._live(weights[f"{output}.weight"])
        weight, bias = _of(weights, output)
        if live is not None:
            weight = weight[:, live]
        attended = Int8Linear.by_channel(weight, bias, self._ranges[output])
        reads = read_together(name)
        weight = joined(weights, [f"{one}.weight" for one in reads], live)
        bias = joined(weights, [f"{one}.bias" for one in reads], live)
        # Attention averages values, so what its output layer does to its inputs can be done to
        # them: but for the zero, which would cost bfloat16 most of its digits.
        values = slice(len(weight) // 3 * 2, None)
        weight[values] *= attended.multiply[:, None]
        bias[values] = bias[values] * attended.multiply + attended.centred
        qkv = Int8Linear.by_channel(weight, bias, self._ranges[reads[0]])
        wide, narrow = f"{name}.intermediate.dense", f"{name}.output.dense"
        widen, narrowed = feed_forward(
            _of(weights, wide), self._ranges[wide], _of(weights, narrow), self._ranges[narrow]
        )
        return _Int8Layer(
            norm=self._layer_norm(weights, norm),
            qkv=qkv,
            attended=attended,
            attended_norm=self._layer_norm(weights, f"{name}.attention.output"),
            widen=widen,
            narrow=narrowed,
            attention=self._dtype,
        )


def _of(weights: Weights, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]
