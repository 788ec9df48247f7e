"""What rounding changes: the answers of each forward path beside those of the exact one."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from bench.peers.scoring import score
from models.forward_paths import ForwardPath, candidates
from models.predictor import TorchPredictor, load_predictor

BATCH = 64


def measure(texts: Sequence[str], *, device: str) -> None:
    """Print, for each head and path, how often the label is the same, and how far scores move."""
    exact = load_predictor(device=device, precision="fp32")
    expected = score(exact, texts, BATCH)
    print(f"\nbeside fp32, {len(texts)} texts: per head the share with the same label, the same")
    print("of those that fp32 answers, with the same abstention; the mean shift of the confidence,")
    print("the largest shift of a probability and that of all texts but one in a thousand")
    for path in candidates(exact._encoder, "auto")[1:]:  # noqa: SLF001 - a measurement of its inside
        found = score(_on(exact, path), texts, BATCH)
        print(path)
        for head in exact.heads:
            pairs = [
                (one[head.name], two[head.name]) for one, two in zip(expected, found, strict=True)
            ]
            sure = [(one, two) for one, two in pairs if not one.abstained]
            shifts = sorted(
                max(abs(score - two.scores[label]) for label, score in one.scores.items())
                for one, two in pairs
            )
            print(
                f"  {head.name:12}"
                f"{mean(one.label == two.label for one, two in pairs):9.2%}"
                f"{mean(one.label == two.label for one, two in sure):9.2%}"
                f"{mean(one.abstained == two.abstained for one, two in pairs):9.2%}"
                f"{mean(abs(one.confidence - two.confidence) for one, two in pairs):9.4f}"
                f"{shifts[-1]:9.4f}{shifts[int(len(shifts) * 0.999)]:9.4f}"
            )


def _on(exact: TorchPredictor, path: ForwardPath) -> TorchPredictor:
    return TorchPredictor(
        exact._encoder,  # noqa: SLF001
        exact._joint,  # noqa: SLF001
        version=exact.version,
        device=exact.device,
        path=path,
    )
