"""The blocking model: tokenise, one forward pass, scores; picks device, threads and precision."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

import torch

from models.checkpoint import encoder_key, merge, merge_heads, read_checkpoint
from models.description import shipped
from models.encoder import Encoder, load_encoder, use_bf16_linears
from models.heads import JointHeads
from models.spec import Head, HeadScore, ModelError, OutOfMemoryError, Scores

MAX_THREADS = 8
MEASURE_S = 0.8
# MiniLM in bf16 on two cores, microseconds a token: 256 tokens 153, 512 136, 1024 108, 2048 104,
# 4096 115. Smaller batches of equal speed wait less.
CPU_BATCH_TOKENS = 1024
# Not measured yet: large enough to fill a data-centre GPU, far from filling its memory.
CUDA_BATCH_TOKENS = 16_384
# Below this gain, noise of a busy machine would decide, and two workers would differ for nothing.
BF16_MIN_SPEEDUP = 1.15
SAMPLE_TEXTS = (
    "Where is my card?",
    "Profit at the ferry operator doubled after a record summer, and the dividend rises a fifth.",
    "$ABCD down 8% pre-market, the recall is bigger than they said. Out.",
    """Someone has taken 430 pounds from my account in a city I have never been to. Please block
    everything and call me back today, I can't pay my rent otherwise.""",
    """The central bank left rates unchanged but said that inflation would take longer to fall
    than it had hoped, which traders read as one more rise before the summer. Yields on ten-year
    bonds climbed to their highest since March while shares of home builders and banks gave up the
    gains they had made in the morning.""",
    "ok thanks, works now",
    "The regulator opened an inquiry into how the broker handled its clients' orders.",
    "Transfer still pending after four days, and nobody answers in the chat.",
)


class TorchPredictor:
    """models.spec.Predictor over a checkpoint folder. Not safe for use from two threads at once."""

    def __init__(
        self,
        encoder: Encoder,
        heads: JointHeads,
        *,
        version: str,
        device: torch.device,
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        threads: int = 0,
        encoder_key: str = "",
    ) -> None:
        """encoder_key names the encoder's weights, see models.checkpoint.encoder_key."""
        self.encoder_key = encoder_key
        self._encoder = encoder.to(device).eval()
        self._joint = heads.to(device).eval()
        self._version = version
        self._device = device
        self._precision: Literal["auto", "fp32", "bf16"] = precision
        self._threads = threads or _default_threads()
        self._reason = "measured at warm-up" if precision == "auto" else "as set"
        self._temperatures = _temperatures(heads.heads)
        if precision == "bf16":
            use_bf16_linears(self._encoder.model)
        torch.set_num_threads(self._threads)

    @property
    def version(self) -> str:
        return self._version

    @property
    def heads(self) -> tuple[Head, ...]:
        return self._joint.heads

    @property
    def description(self) -> str:
        place = f"{self._threads} CPU threads" if self._device.type == "cpu" else str(self._device)
        return f"{self._version} on {place}, {self._precision} ({self._reason})"

    @property
    def precision(self) -> Literal["auto", "fp32", "bf16"]:
        """What was chosen; auto until warm_up has settled it."""
        return self._precision

    @property
    def hidden(self) -> int:
        return self._encoder.hidden

    @property
    def batch_tokens(self) -> int:
        return CPU_BATCH_TOKENS if self._device.type == "cpu" else CUDA_BATCH_TOKENS

    def warm_up(self) -> None:
        """Settle the precision where it is auto, then run once: the first batch is no slower.

        auto takes bfloat16 where it is clearly faster and gives every sample text the same labels.
        """
        tokens = self.tokenize(SAMPLE_TEXTS)
        if self._precision == "auto":
            self._precision, self._reason = self._measure(tokens)
        self.predict(tokens)

    def with_heads(self, heads: JointHeads, *, version: str) -> TorchPredictor:
        """Other heads on this encoder, which both then share; ready at once."""
        other = copy.copy(self)
        # A copy of our own class, so its inside is ours.
        other._joint = heads.to(self._device).eval()  # noqa: SLF001
        other._temperatures = _temperatures(heads.heads)  # noqa: SLF001
        other._version = version  # noqa: SLF001
        return other

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return self._encoder.tokenize(texts)

    def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
        if not tokens:
            return []
        kinds = kinds or [""] * len(tokens)
        try:
            return self._scores(self._probabilities(self._encoder, tokens, kinds), kinds)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemoryError(_too_large(tokens, self._device)) from error
        except RuntimeError as error:
            # The CPU allocator has no exception class of its own.
            if "DefaultCPUAllocator" not in str(error):
                raise
            raise OutOfMemoryError(_too_large(tokens, self._device)) from error

    def _probabilities(
        self, encoder: Encoder, tokens: Sequence[list[int]], kinds: Sequence[str]
    ) -> list[torch.Tensor]:
        """Per head (n, labels) on the CPU. Heads, temperature and softmax are float32 always."""
        general = self._temperatures[""]
        temperatures = torch.stack([self._temperatures.get(kind, general) for kind in kinds])
        with torch.inference_mode():
            ids, mask = encoder.pad(tokens)
            pooled = encoder(ids.to(self._device), mask.to(self._device))
            logits = self._joint.linear(pooled).cpu() / temperatures
            widths = [len(head.labels) for head in self.heads]
            return [part.softmax(dim=1) for part in logits.split(widths, dim=1)]

    def _scores(self, probabilities: list[torch.Tensor], kinds: Sequence[str]) -> list[Scores]:
        answers = [
            [_answer(head, row, kind) for row, kind in zip(part.tolist(), kinds, strict=True)]
            for head, part in zip(self.heads, probabilities, strict=True)
        ]
        names = [head.name for head in self.heads]
        return [dict(zip(names, row, strict=True)) for row in zip(*answers, strict=True)]

    def _measure(self, tokens: Sequence[list[int]]) -> tuple[Literal["fp32", "bf16"], str]:
        other = copy.deepcopy(self._encoder)
        kinds = [""] * len(tokens)
        use_bf16_linears(other.model)
        if not self._same_labels(other, tokens):
            return "fp32", "bf16 changes labels of the sample texts"
        ours, theirs = self._race(
            lambda: self._probabilities(self._encoder, tokens, kinds),
            lambda: self._probabilities(other, tokens, kinds),
        )
        speeds = f"fp32 {ours * 1e3:.1f} ms, bf16 {theirs * 1e3:.1f} ms for {len(tokens)} samples"
        if ours < theirs * BF16_MIN_SPEEDUP:
            return "fp32", speeds
        self._encoder = other
        return "bf16", speeds

    def _same_labels(self, other: Encoder, tokens: Sequence[list[int]]) -> bool:
        kinds = [""] * len(tokens)
        ours, theirs = (
            [part.argmax(dim=1).tolist() for part in self._probabilities(encoder, tokens, kinds)]
            for encoder in (self._encoder, other)
        )
        return ours == theirs

    def _race(self, *runs: Callable[[], object]) -> list[float]:
        """Median seconds of each, taken in turns so that a busy moment strikes them alike."""
        times: list[list[float]] = [[] for _ in runs]
        end = time.perf_counter() + MEASURE_S
        while not times[0] or time.perf_counter() < end:
            for run, taken in zip(runs, times, strict=True):
                start = time.perf_counter()
                run()
                taken.append(time.perf_counter() - start)
        return [median(taken) for taken in times]


def load_predictor(
    folder: Path | None = None,
    *,
    encoder: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    threads: int = 0,
    beside: TorchPredictor | None = None,
) -> TorchPredictor:
    """The predictor of a checkpoint folder, the shipped one if None.

    encoder overrides where the checkpoint's encoder is found (an id or folder). threads applies to
    the CPU; 0 takes up to eight, and leaves one core to the rest of the process where there are
    three or more. beside is a warm predictor that this one is to follow: its encoder is shared
    where only the heads differ, and else its precision is taken over, since measuring would slow it
    down. Raises ModelError naming the file or setting to mend.
    """
    chosen = choose_device(device)
    checkpoint, weights = read_checkpoint(folder or shipped())
    key = encoder_key(checkpoint, weights)
    if beside and key == beside.encoder_key:
        heads = merge_heads(checkpoint, weights, beside.hidden)
        return beside.with_heads(heads, version=checkpoint.version)
    base = load_encoder(encoder or checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    heads = merge(checkpoint, weights, base)
    return TorchPredictor(
        base,
        heads,
        version=checkpoint.version,
        device=chosen,
        precision=beside.precision if beside else precision,
        threads=threads,
        encoder_key=key,
    )


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device of that name, the GPU for auto where there is one; ModelError where not."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ModelError(
            "setting model.device: cuda is not available here; install a CUDA build of torch and "
            "its driver, or set model.device to auto"
        )
    return torch.device("cuda")


def _temperatures(heads: Sequence[Head]) -> dict[str, torch.Tensor]:
    """By kind of source (all labels,): each head's temperature, once per label.

    So all heads share one division before their softmaxes.
    """
    kinds = {kind for head in heads for kind in head.by_kind}
    return {
        kind: torch.cat(
            [
                torch.full((len(head.labels),), head.calibrated_for(kind).temperature)
                for head in heads
            ]
        )
        for kind in ("", *kinds)
    }


def _answer(head: Head, row: list[float], kind: str) -> HeadScore:
    confidence = max(row)
    return HeadScore(
        label=head.labels[row.index(confidence)],
        confidence=confidence,
        scores=dict(zip(head.labels, row, strict=True)),
        abstained=confidence < head.calibrated_for(kind).abstain_below,
    )


def _default_threads() -> int:
    # Affinity counts what a container or taskset allows; macOS does not have it.
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    # On two cores the second thread gives 1.7 times the throughput and costs the event loop 4 ms at
    # its 99th percentile; from three on, a core of its own costs little.
    return min(MAX_THREADS, allowed if allowed <= 2 else allowed - 1)  # noqa: PLR2004


def _too_large(tokens: Sequence[list[int]], device: torch.device) -> str:
    size = len(tokens) * max(map(len, tokens))
    return (
        f"a batch of {len(tokens)} texts ({size} padded tokens) does not fit into the memory of "
        f"{device}; lower model.max_batch_tokens if this comes often"
    )
