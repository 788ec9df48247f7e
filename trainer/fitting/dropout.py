"""Dropout inside an encoder whose mask all words of a text share.

Gal and Ghahramani 2016 (NeurIPS), "A Theoretically Grounded Application of Dropout in Recurrent
Neural Networks". A mask a text costs nothing beside a pass; with one a token, as transformers draws
it, a fit takes half as long again on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from models.encoder import Encoder

STATES_DIMS = 3
"""Of (texts, tokens, channels). What attention looks at has four, and is left whole."""


@contextmanager
def dropped(encoder: Encoder, share: float) -> Iterator[None]:
    """Wherever the encoder has a place for dropout, zero that share of each text's channels."""

    def drop(_: nn.Module, __: object, states: torch.Tensor) -> torch.Tensor:
        if states.dim() != STATES_DIMS:
            return states
        mask = torch.rand(len(states), 1, states.shape[2], device=states.device) >= share
        return states * (mask / (1 - share)).to(states.dtype)

    with ExitStack() as hooks:
        for module in encoder.model.modules():
            if share and isinstance(module, nn.Dropout):
                hooks.enter_context(module.register_forward_hook(drop))
        yield
