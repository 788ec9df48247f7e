"""Everything that decides a fit besides its data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from models.race import race
from trainer.errors import FitError
from trainer.fitting.adapters import Method

# What each method does well with on the development sets; docs/fit.md has the figures.
DEFAULTS: dict[Method, dict[str, Any]] = {
    "heads": {"epochs": 30, "head_rate": 5e-3},
    "lora": {"epochs": 6, "encoder_rate": 1e-3, "hide_share": 0.05},
    "full": {"epochs": 6, "encoder_rate": 1e-4, "hide_share": 0.05},
}
# What else it does for a head that the model has not had: the encoder learns more of its texts, and
# would learn them by heart.
DEFAULTS_NEW_HEAD: dict[Method, dict[str, Any]] = {
    "full": {"hide_share": 0.1, "encoder_dropout": 0.1},
}
PROBE_ROWS = 512
PROBE_S = 0.05


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """The settings of a fit.

    Rates are peaks: linear warm-up over warmup_share of the steps, then cosine decay to zero. The
    latest epoch whose validation accuracy is the best within a standard error is kept, and the fit
    ends after patience epochs without a better one (0: never). dropout is the share of the pooled
    vector set to zero, hide_share that of the tokens replaced by the mask token (augmentation).
    encoder_dropout is that of dropped(), where the encoder is trained. weight_decay is AdamW's L2.
    class_balance is the power of models.heads.balanced_weights, sampling_power that of batches():
    below 1, small sources are seen more often. keep_weight is how much a fit that changes the
    encoder holds on to the answers of the heads it was given. max_tokens cuts training texts only.
    bf16 multiplies in bfloat16 (autocast).
    """

    method: Method = "lora"
    epochs: int = 5
    batch_size: int = 32
    encoder_rate: float = 1e-4
    head_rate: float = 5e-3
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    dropout: float = 0.1
    encoder_dropout: float = 0.0
    hide_share: float = 0.0
    label_smoothing: float = 0.05
    class_balance: float = 0.0
    sampling_power: float = 1.0
    keep_weight: float = 1.0
    patience: int = 0
    lora_rank: int = 16
    lora_alpha: int = 32
    max_tokens: int = 128
    bf16: bool = True
    seed: int = 13

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "lora_rank", "max_tokens"):
            if getattr(self, name) < 1:
                raise FitError(f"{name} must be at least 1")
        for name in ("warmup_share", "dropout", "encoder_dropout", "hide_share", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise FitError(f"{name} must be from 0 to below 1")
        for name in ("encoder_rate", "head_rate"):
            if getattr(self, name) <= 0:
                raise FitError(f"{name} must be above 0")
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise FitError(f"{name} must be a finite number")


def default_config(method: Method, *, new_head: bool = False, **chosen: Any) -> FitConfig:
    """The settings that a method does well with; what is chosen, and not None, goes before.

    new_head: the model has no head of that name yet.
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    also = DEFAULTS_NEW_HEAD.get(method, {}) if new_head else {}
    return FitConfig(method=method, **(DEFAULTS[method] | also | given))


def bf16_helps(device: torch.device) -> bool:
    """Whether this device multiplies faster in bfloat16 than in float32, by trying both."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    matrices = [
        torch.ones(PROBE_ROWS, PROBE_ROWS, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)
    ]
    least = race({one.dtype: partial(torch.mm, one, one) for one in matrices}, PROBE_S)
    return least[torch.bfloat16] < least[torch.float32]
