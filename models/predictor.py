"""The blocking model: tokenise, one forward pass, scores; picks device, threads and precision."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch

from models.checkpoint import encoder_key, merge, merge_heads, read_checkpoint
from models.cores import LANES, LITTLE_WORK, Cores
from models.description import shipped
from models.encoder import Encoder, load_encoder
from models.forward_paths import SAMPLE_TEXTS, ForwardPath, build, candidates, choose
from models.heads import JointHeads
from models.packed import Precision
from models.spec import Head, HeadScore, ModelError, OutOfMemoryError, Predictor, Scores

SCORE_DIGITS = 6
# MiniLM in bf16 on two cores, microseconds a token: 256 tokens 153, 512 136, 1024 108, 2048 104,
# 4096 115. Smaller batches of equal speed wait less.
CPU_BATCH_TOKENS = 1024
# The same on an H200, nanoseconds a token: 8,192 tokens 417, 16,384 213, 32,768 203, 65,536 187.
CUDA_BATCH_TOKENS = 16_384


class TorchPredictor:
    """models.spec.Predictor over a checkpoint folder."""

    def __init__(
        self,
        encoder: Encoder,
        heads: JointHeads,
        *,
        version: str,
        device: torch.device,
        precision: Precision | Literal["auto"] = "auto",
        threads: int = 0,
        encoder_key: str = "",
        path: ForwardPath | None = None,
    ) -> None:
        """encoder_key names the encoder's weights, see models.checkpoint.encoder_key.

        path settles how vectors are computed; None leaves that to warm_up, and until then they are
        computed in float32 unless precision says otherwise.
        """
        self.encoder_key = encoder_key
        encoder = encoder.to(device).eval()
        # Only until the path is settled, which may do with less than all its weights.
        self._encoder = None if path else encoder
        self._tokenize = encoder.tokenize
        self._hidden = encoder.hidden
        self._max_tokens = encoder.max_tokens
        self._joint = heads.to(device).eval()
        self._version = version
        self._device = device
        self._precision = precision
        self._path = path or candidates(encoder, precision)[0]
        self._reason = "as beside" if path else "not measured yet"
        self._pool = build(encoder, self._path)
        self._cores = Cores(threads)
        self._temperatures = _temperatures(heads.heads)
        self._was_full = False

    @property
    def version(self) -> str:
        return self._version

    @property
    def heads(self) -> tuple[Head, ...]:
        return self._joint.heads

    @property
    def description(self) -> str:
        cores = f"{self._cores.threads} CPU threads"
        place = cores if self._device.type == "cpu" else str(self._device)
        return f"{self._version} on {place}, {self._path} ({self._reason})"

    @property
    def path(self) -> ForwardPath:
        """How vectors are computed; provisional until warm_up."""
        return self._path

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def hidden(self) -> int:
        return self._hidden

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    @property
    def pads(self) -> bool:
        return not self._path.packed

    @property
    def lanes(self) -> int:
        # Only a packed pass is known to bear another beside it: it keeps nothing of its own.
        packed = self._device.type == "cpu" and self._path.packed
        return LANES if packed and self._cores.threads > 1 else 1

    @property
    def batch_tokens(self) -> int:
        return CPU_BATCH_TOKENS if self._device.type == "cpu" else CUDA_BATCH_TOKENS

    def warm_up(self) -> None:
        """Choose the forward path, unless it is settled, then run once: no first batch is slow."""
        tokens = self.tokenize(SAMPLE_TEXTS)
        if self._encoder is not None:
            with torch.inference_mode():
                self._path, self._pool, self._reason = choose(
                    self._encoder,
                    candidates(self._encoder, self._precision),
                    tokens,
                    lambda pooled: self._answers(pooled, [""] * len(pooled)),
                    padded_budget=self.batch_tokens,
                )
            self._encoder = None
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
        return self._tokenize(texts)

    def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
        answers, _ = self.predict_beside(tokens, kinds, self, ())
        return answers

    def predict_beside(
        self,
        tokens: Sequence[list[int]],
        kinds: Sequence[str],
        other: Predictor,
        rows: Sequence[int],
    ) -> tuple[list[Scores], list[Scores] | None]:
        if not tokens:
            return [], []
        kinds = kinds or [""] * len(tokens)
        alone = self._is_little(tokens)
        with torch.inference_mode(), self._cores.share(alone=alone), self._naming_memory(tokens):
            pooled = self._pool(tokens)
            answers = self._answers(pooled, kinds)
        # Of our own class, so its inside is ours.
        if not isinstance(other, TorchPredictor) or other._pool is not self._pool:  # noqa: SLF001
            return answers, None
        if not rows:
            return answers, []
        try:
            with torch.inference_mode():
                beside = other._answers(pooled[list(rows)], [kinds[at] for at in rows])  # noqa: SLF001
        except (RuntimeError, ModelError):
            # The answers that count are there; whoever asks will see the other fail by itself.
            return answers, None
        return answers, beside

    def _is_little(self, tokens: Sequence[list[int]]) -> bool:
        """Whether a batch is sooner done on one core; in fp32 a second one is worth its waking."""
        work = sum(map(len, tokens)) * self._hidden**2
        return self._path.precision != "fp32" and work <= LITTLE_WORK

    @contextlib.contextmanager
    def _naming_memory(self, tokens: Sequence[list[int]]) -> Iterator[None]:
        if self._was_full:
            # Not while the error was on its way: until it is gone, the failed pass holds its room.
            self._was_full = False
            torch.cuda.empty_cache()
        try:
            yield
        except torch.OutOfMemoryError as error:
            self._was_full = True
            raise OutOfMemoryError(self._too_large(tokens)) from error
        except RuntimeError as error:
            # The CPU allocator has no exception class of its own.
            if "DefaultCPUAllocator" not in str(error):
                raise
            raise OutOfMemoryError(self._too_large(tokens)) from error

    def _answers(self, pooled: torch.Tensor, kinds: Sequence[str]) -> list[Scores]:
        """Heads, temperature and softmax are float32 always.

        No path gives more than SCORE_DIGITS alike, and every record has two dozen of these numbers.
        """
        general = self._temperatures[""]
        temperatures = torch.stack([self._temperatures.get(kind, general) for kind in kinds])
        logits = self._joint.linear(pooled).cpu() / temperatures
        if not logits.isfinite().all():
            raise ModelError(f"{self._version} gives answers that are no numbers; fit it again")
        widths = [len(head.labels) for head in self.heads]
        scores = [part.softmax(dim=1) for part in logits.split(widths, dim=1)]
        parts = [part.double().round(decimals=SCORE_DIGITS).tolist() for part in scores]
        answers = [
            [_answer(head, row, kind) for row, kind in zip(part, kinds, strict=True)]
            for head, part in zip(self.heads, parts, strict=True)
        ]
        names = [head.name for head in self.heads]
        return [dict(zip(names, row, strict=True)) for row in zip(*answers, strict=True)]

    def _too_large(self, tokens: Sequence[list[int]]) -> str:
        lengths = list(map(len, tokens))
        size = f"{len(tokens) * max(lengths)} padded" if self.pads else f"{sum(lengths)}"
        return (
            f"a batch of {len(tokens)} texts ({size} tokens) does not fit into the memory of "
            f"{self._device}; lower model.max_batch_tokens if this comes often"
        )


def load_predictor(
    folder: Path | None = None,
    *,
    encoder: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Precision | Literal["auto"] = "auto",
    threads: int = 0,
    beside: TorchPredictor | None = None,
) -> TorchPredictor:
    """The predictor of a checkpoint folder, the shipped one if None.

    encoder overrides where the checkpoint's encoder is found (an id or folder). threads applies to
    the CPU, see models.cores. beside is a warm predictor that this one is to follow: its encoder is
    shared where only the heads differ, and else its forward path is taken over, where this encoder
    has it too, since measuring would slow it down. Raises ModelError naming the file or setting to
    mend.
    """
    chosen = choose_device(device)
    checkpoint, weights = read_checkpoint(folder or shipped())
    key = encoder_key(checkpoint, weights)
    if beside and key == beside.encoder_key:
        heads = merge_heads(checkpoint, weights, beside.hidden)
        return beside.with_heads(heads, version=checkpoint.version)
    base = load_encoder(encoder or checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    heads = merge(checkpoint, weights, base)
    base = base.to(chosen)
    path = beside.path if beside and beside.path in candidates(base, precision) else None
    return TorchPredictor(
        base,
        heads,
        version=checkpoint.version,
        device=chosen,
        precision=precision,
        path=path,
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
