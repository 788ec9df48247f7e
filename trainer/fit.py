"""Fine-tuning: heads alone, with low-rank adapters, or the whole encoder, on labelled texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from models.checkpoint import LOW_RANK, REPLACED
from models.encoder import Encoder
from models.heads import MISSING, JointHeads, balanced_weights, joint_loss
from models.spec import Head
from trainer.batches import Texts, batches
from trainer.dataset import Example


class FitError(Exception):
    """The fit can't be done; the message names the setting or the missing package."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Everything that decides a fit besides its data.

    sampling_power is explained at trainer.batches.batches: below 1, small sources are seen more
    often. class_balance is the power of models.heads.balanced_weights. max_tokens cuts training
    texts only. bf16 multiplies in bfloat16 (autocast). Rates are peaks: linear warm-up over
    warmup_share of the steps, then cosine decay to zero.
    """

    method: Literal["heads", "lora", "full"] = "lora"
    epochs: int = 5
    batch_size: int = 64
    encoder_rate: float = 1e-3
    head_rate: float = 5e-3
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    lora_rank: int = 16
    lora_alpha: int = 32
    max_tokens: int = 64
    sampling_power: float = 0.6
    class_balance: float = 0.3
    label_smoothing: float = 0.05
    bf16: bool = True
    seed: int = 13

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "lora_rank", "max_tokens"):
            if getattr(self, name) < 1:
                raise FitError(f"{name} must be at least 1")
        if not 0 <= self.warmup_share < 1:
            raise FitError("warmup_share must be from 0 to below 1")


@dataclass(frozen=True)
class Epoch:
    """What one pass over the data gave.

    val_loss is the plain cross entropy, train_loss what was minimised; accuracy is per head.
    """

    number: int
    train_loss: float
    val_loss: float
    accuracy: dict[str, float]

    def __str__(self) -> str:
        heads = ", ".join(f"{head} {value:.3f}" for head, value in self.accuracy.items())
        losses = f"train loss {self.train_loss:.4f}, val loss {self.val_loss:.4f}"
        return f"epoch {self.number}: {losses}, val accuracy {heads}"


@dataclass(frozen=True)
class Fitted:
    """The fitted heads, all weights as models.checkpoint stores them, and the epochs."""

    joint: JointHeads
    weights: dict[str, torch.Tensor]
    epochs: list[Epoch]


def fit(
    encoder: Encoder,
    heads: Sequence[Head],
    train: Sequence[Example],
    validation: Sequence[Example],
    config: FitConfig,
    *,
    report: Callable[[Epoch], None] = lambda _: None,
) -> Fitted:
    """Fit new heads, and the encoder in place unless the method is heads; report each epoch.

    Runs on the encoder's device. Raises FitError when the train extra is missing for lora.
    """
    torch.manual_seed(config.seed)
    texts = Texts(train, encoder, heads, config.max_tokens)
    held_out = Texts(validation, encoder, heads, encoder.max_tokens)
    joint = JointHeads(heads, encoder.hidden).to(_device(encoder))
    before = {name: tensor.clone() for name, tensor in encoder.model.named_parameters()}
    _unfreeze(encoder, config)
    # No dropout: on the CPU it doubles the forward pass, and label smoothing does its work here.
    encoder.eval()
    fixed = fixed_val = None
    if config.method == "heads":
        # With the encoder frozen, a text's vector is the same in every epoch.
        fixed = pooled_vectors(encoder, texts.tokens, bf16=config.bf16)
        fixed_val = pooled_vectors(encoder, held_out.tokens, bf16=config.bf16)
    class_weights = {
        head.name: balanced_weights(_counts(texts, head), config.class_balance).to(_device(encoder))
        for head in heads
    }
    steps_per_epoch = math.ceil(len(texts) / config.batch_size)
    optimiser = _optimiser(encoder, joint, config)
    schedule = _schedule(optimiser, steps_per_epoch * config.epochs, config.warmup_share)

    epochs: list[Epoch] = []
    for number in range(1, config.epochs + 1):
        losses = []
        for batch in batches(
            texts,
            batch_size=config.batch_size,
            sampling_power=config.sampling_power,
            seed=f"{config.seed} {number}",
        ):
            with torch.autocast(_device(encoder).type, torch.bfloat16, enabled=config.bf16):
                pooled = _pooled(encoder, texts, batch) if fixed is None else fixed[batch]
                logits = joint(pooled)
            loss = joint_loss(
                logits,
                _targets(texts, batch, _device(encoder)),
                class_weights=class_weights,
                label_smoothing=config.label_smoothing,
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(_trained(encoder, joint), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        vectors = fixed_val
        if vectors is None:
            vectors = pooled_vectors(encoder, held_out.tokens, bf16=config.bf16)
        epochs.append(_judge(number, sum(losses) / len(losses), joint, vectors, held_out))
        report(epochs[-1])

    weights = {f"heads.{name}": value for name, value in joint.linear.state_dict().items()}
    weights |= _difference(encoder, before, config)
    return Fitted(joint, {name: value.cpu() for name, value in weights.items()}, epochs)


@torch.inference_mode()
def pooled_vectors(
    encoder: Encoder, tokens: Sequence[list[int]], *, bf16: bool = False
) -> torch.Tensor:
    """The encoder's vectors (n, hidden) of n texts, in their order."""
    vectors = torch.empty(len(tokens), encoder.hidden, device=_device(encoder))
    order = sorted(range(len(tokens)), key=lambda position: len(tokens[position]))
    for start in range(0, len(order), 64):
        batch = order[start : start + 64]
        ids, mask = encoder.pad([tokens[position] for position in batch])
        with torch.autocast(vectors.device.type, torch.bfloat16, enabled=bf16):
            vectors[batch] = encoder(ids.to(vectors.device), mask.to(vectors.device))
    return vectors


def held_out_logits(
    encoder: Encoder, joint: JointHeads, examples: Sequence[Example]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Per head logits (n, labels) and targets (n,) of examples, on the CPU, for calibration."""
    texts = Texts(examples, encoder, joint.heads, encoder.max_tokens)
    with torch.inference_mode():
        logits = joint(pooled_vectors(encoder, texts.tokens))
    targets = _targets(texts, range(len(texts)), torch.device("cpu"))
    return {name: values.cpu() for name, values in logits.items()}, targets


def _unfreeze(encoder: Encoder, config: FitConfig) -> None:
    encoder.model.requires_grad_(config.method == "full")
    if config.method == "lora":
        try:
            from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - optional extra
        except ModuleNotFoundError:
            raise FitError(
                "method lora needs the train extra: pip install 'bellwether[train]', "
                "or choose the method heads"
            ) from None
        lora = LoraConfig(
            r=config.lora_rank,
            lora_alpha=config.lora_alpha,
            target_modules=_linears(encoder),
        )
        inject_adapter_in_model(lora, encoder.model)


def _linears(encoder: Encoder) -> list[str]:
    # Nothing here reads the pooler, so an adapter there would never learn.
    modules = encoder.model.named_modules()
    return [name for name, m in modules if isinstance(m, nn.Linear) and "pooler" not in name]


def _difference(
    encoder: Encoder, before: dict[str, torch.Tensor], config: FitConfig
) -> dict[str, torch.Tensor]:
    """What the fit changed, named as models.checkpoint stores it."""
    weights: dict[str, torch.Tensor] = {}
    if config.method == "lora":
        for name, module in encoder.model.named_modules():
            if hasattr(module, "lora_A"):
                down: Any = module.lora_A["default"]
                up: Any = module.lora_B["default"]
                scale: Any = module.scaling["default"]
                weights[f"{LOW_RANK}{name}.a"] = down.weight.detach().half()
                weights[f"{LOW_RANK}{name}.b"] = (up.weight.detach() * scale).half()
    elif config.method == "full":
        for name, value in encoder.model.named_parameters():
            if not torch.equal(value, before[name]):
                weights[f"{REPLACED}{name}"] = value.detach()
    return weights


def _optimiser(encoder: Encoder, joint: JointHeads, config: FitConfig) -> torch.optim.Optimizer:
    groups = [{"params": list(joint.parameters()), "lr": config.head_rate}]
    if own := [value for value in encoder.parameters() if value.requires_grad]:
        groups.append({"params": own, "lr": config.encoder_rate})
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def _schedule(
    optimiser: torch.optim.Optimizer, steps: int, warmup_share: float
) -> torch.optim.lr_scheduler.LambdaLR:
    warmup = max(1, round(steps * warmup_share))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _judge(
    number: int, train_loss: float, joint: JointHeads, vectors: torch.Tensor, held_out: Texts
) -> Epoch:
    targets = _targets(held_out, range(len(held_out)), vectors.device)
    with torch.inference_mode():
        logits = joint(vectors)
        loss = float(joint_loss(logits, targets))
    accuracy = {}
    for name, values in logits.items():
        known = targets[name] != MISSING
        if known.any():
            hits = values.argmax(dim=1)[known] == targets[name][known]
            accuracy[name] = float(hits.float().mean())
    return Epoch(number, train_loss, loss, accuracy)


def _pooled(encoder: Encoder, texts: Texts, batch: Sequence[int]) -> torch.Tensor:
    ids, mask = encoder.pad([texts.tokens[position] for position in batch])
    pooled: torch.Tensor = encoder(ids.to(_device(encoder)), mask.to(_device(encoder)))
    return pooled


def _targets(texts: Texts, batch: Sequence[int], device: torch.device) -> dict[str, torch.Tensor]:
    return {
        name: torch.tensor([values[position] for position in batch], device=device)
        for name, values in texts.targets.items()
    }


def _counts(texts: Texts, head: Head) -> list[int]:
    return [texts.targets[head.name].count(label) for label in range(len(head.labels))]


def _trained(encoder: Encoder, joint: JointHeads) -> list[nn.Parameter]:
    everything = [*encoder.parameters(), *joint.parameters()]
    return [value for value in everything if value.grad is not None]


def _device(encoder: Encoder) -> torch.device:
    return encoder.model.device
