"""Which weights of an encoder a method trains, and the difference that its checkpoint stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from models.checkpoint import HEADS, LOW_RANK, REPLACED
from models.encoder import Encoder

Method = Literal["heads", "lora", "full"]


def unfreeze(encoder: Encoder, method: Method, *, rank: int, alpha: int) -> dict[str, nn.Parameter]:
    """Make what the method trains trainable, nothing else, and return it by name.

    heads: nothing. lora: low-rank adapters on every linear layer (Hu et al. 2021, "LoRA"). full:
    all layers above the embeddings, which hold half of the parameters and gain next to nothing.
    """
    encoder.model.requires_grad_(False)
    if method == "lora":
        _add_adapters(encoder, rank, alpha)
    elif method == "full":
        for name, parameter in encoder.model.named_parameters():
            if not name.startswith("embeddings.") and "pooler" not in name:
                parameter.requires_grad_(True)
    _keep_silent(encoder, method)
    return {name: value for name, value in encoder.model.named_parameters() if value.requires_grad}


def difference(encoder: Encoder, method: Method) -> dict[str, torch.Tensor]:
    """What the fit changed, named and typed as models.checkpoint stores it."""
    weights: dict[str, torch.Tensor] = {}
    if method == "lora":
        for name, module in encoder.model.named_modules():
            if hasattr(module, "lora_A"):
                down: Any = module.lora_A["default"]
                up: Any = module.lora_B["default"]
                scale: Any = module.scaling["default"]
                weights[f"{LOW_RANK}{name}.a"] = down.weight.detach().half()
                weights[f"{LOW_RANK}{name}.b"] = (up.weight.detach() * scale).half()
    elif method == "full":
        for name, value in encoder.model.named_parameters():
            if value.requires_grad:
                weights[f"{REPLACED}{name}"] = value.detach().half()
    return weights


def stack(
    parent: Mapping[str, torch.Tensor], child: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """One difference to the base encoder out of the parent's and the child's difference to it.

    Two low-rank terms on one layer are one of both ranks together; a replaced parameter holds all
    that came before it.
    """
    stacked = {name: value for name, value in parent.items() if not name.startswith(HEADS)}
    for name, value in child.items():
        if name.startswith(LOW_RANK) and name in stacked:
            stacked[name] = torch.cat([stacked[name], value], dim=0 if name.endswith(".a") else 1)
        else:
            stacked[name] = value
    for name in child:
        if name.startswith(REPLACED):
            module = name.removeprefix(REPLACED).removesuffix(".weight")
            stacked.pop(f"{LOW_RANK}{module}.a", None)
            stacked.pop(f"{LOW_RANK}{module}.b", None)
    return stacked


def compress(
    before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor], rank: int
) -> dict[str, torch.Tensor]:
    """After - before, by parameter name, with every matrix cut to its strongest rank directions.

    The truncated singular value decomposition is the nearest matrix of that rank (Eckart and Young
    1936). Vectors are stored whole, and so is a matrix that lets some of its inputs go unread: the
    nearest of a rank would read them again.
    """
    weights: dict[str, torch.Tensor] = {}
    for name, value in after.items():
        if value.dim() == 1 or _silent(value).any():
            weights[f"{REPLACED}{name}"] = value.detach().half()
            continue
        up, strength, down = torch.linalg.svd((value - before[name]).float(), full_matrices=False)
        root = strength[:rank].sqrt()
        module = name.removesuffix(".weight")
        weights[f"{LOW_RANK}{module}.a"] = (root[:, None] * down[:rank]).half()
        weights[f"{LOW_RANK}{module}.b"] = (up[:, :rank] * root).half()
    return weights


def _add_adapters(encoder: Encoder, rank: int, alpha: int) -> None:
    # Takes seconds to load, which a fit of the heads alone need not wait for.
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415

    # Nothing here reads the pooler, so an adapter there would never learn.
    linears = [
        name
        for name, module in encoder.model.named_modules()
        if isinstance(module, nn.Linear) and "pooler" not in name
    ]
    lora = LoraConfig(r=rank, lora_alpha=alpha, target_modules=linears)
    inject_adapter_in_model(lora, encoder.model)


def _silent(weight: torch.Tensor) -> torch.Tensor:
    """Which inputs a linear layer multiplies by 0, as those of heads that were pruned."""
    return ~weight.detach().any(dim=0)


def _keep_silent(encoder: Encoder, method: Method) -> None:
    """What is pruned is not learnt again: the model stays as fast as it was made."""
    for module in encoder.model.modules():
        # An adapter begins with a matrix of zeros, which is to be learnt.
        if method == "lora" and hasattr(module, "lora_A"):
            adapted: Any = module
            _hold(adapted.lora_A["default"].weight, _silent(adapted.base_layer.weight))
        elif method == "full" and isinstance(module, nn.Linear) and module.weight.requires_grad:
            _hold(module.weight, _silent(module.weight))


def _hold(weight: torch.Tensor, silent: torch.Tensor) -> None:
    if silent.any():
        with torch.no_grad():
            weight[:, silent] = 0
        weight.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: gradient.masked_fill(silent.to(gradient.device), 0)
        )
