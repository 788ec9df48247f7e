"""Why the model said so: what each word adds, and the smallest edit that changes the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models.checkpoint import merge, read_checkpoint
from models.description import shipped
from models.encoder import Encoder, load_encoder
from models.explanation import Attribution, Edit, Word
from models.heads import JointHeads
from models.predictor import TorchPredictor
from models.spec import ModelError, Scores

FIRST_POINTS = 32
MOST_POINTS = 256
ROWS_A_PASS = 32
ERROR_WANTED = 0.05
"""Points are doubled until the error is below this share of what is explained, or MOST_POINTS."""
MAX_REMOVED = 12
_WORD = re.compile(r"\S+")


class Explainer:
    """Explains the answers of one checkpoint, in float32. predictor gives the answers themselves.

    Integrated gradients (Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep
    Networks") of the word embeddings, from a text of mask tokens to the text.
    """

    def __init__(
        self,
        encoder: Encoder,
        heads: JointHeads,
        *,
        version: str,
        device: torch.device,
    ) -> None:
        self.predictor = TorchPredictor(
            encoder, heads, version=version, device=device, precision="fp32"
        )
        self._encoder = encoder
        encoder.model.requires_grad_(requires_grad=False)
        self._joint = heads.requires_grad_(requires_grad=False)

    def scores(self, text: str, kind: str = "") -> Scores:
        """As the stream gives them; kind is the kind of source, which decides the calibration."""
        return self._score([text], kind)[0]

    def vectors(self, texts: Sequence[str]) -> torch.Tensor:
        """Pooled vectors (n, hidden) on the CPU."""
        tokens = self._encoder.tokenize(texts)
        # Texts of like length together: padding would cost as much as the texts.
        order = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
        pooled = torch.empty(len(tokens), self._encoder.hidden)
        with torch.inference_mode():
            for start in range(0, len(order), ROWS_A_PASS):
                some = order[start : start + ROWS_A_PASS]
                pooled[some] = self._encoder.pool([tokens[place] for place in some]).cpu()
        return pooled

    def attribute(self, text: str, head: str, label: str = "", kind: str = "") -> Attribution:
        """What each word adds to the label, the head's own answer if none is given.

        Raises ModelError for a head or label that the model does not have.
        """
        answer = self.scores(text, kind).get(head)
        if answer is None:
            known = ", ".join(one.name for one in self._joint.heads)
            raise ModelError(f"head {head!r}: the model has none of that name; it has {known}")
        label = label or answer.label
        if label not in answer.scores:
            raise ModelError(f"label {label!r}: head {head} has {', '.join(answer.scores)}")
        read, spans = self._encoder.spans(text)
        (ids,) = self._encoder.tokenize([text])
        target = self._target(head, label, kind)
        points = FIRST_POINTS
        while True:
            per_token, log_odds, baseline = self._integrate(ids, target, points)
            error = abs(float(per_token.sum()) - (log_odds - baseline))
            if error <= ERROR_WANTED * abs(log_odds - baseline) or points >= MOST_POINTS:
                break
            points *= 2
        last = max((end for _, end in spans), default=0)
        words = tuple(
            Word(word.group(), round(weight, 4), word.start() < last)
            for word, weight in _by_word(read, spans, per_token)
        )
        return Attribution(
            head=head,
            label=label,
            confidence=answer.scores[label],
            log_odds=log_odds,
            baseline=baseline,
            error=error,
            points=points,
            words=words,
        )

    def smallest_edit(self, text: str, attribution: Attribution, kind: str = "") -> Edit | None:
        """The fewest words found whose removal changes the head's label; None if there are none.

        Words go in the order of what they add until the label changes, MAX_REMOVED at most; then
        each that is not needed comes back. A shorter edit may exist.
        """
        words = [word.text for word in attribution.words]
        order = sorted(
            (place for place, word in enumerate(attribution.words) if word.weight > 0),
            key=lambda place: -attribution.words[place].weight,
        )[:MAX_REMOVED]
        attempts = [set(order[: number + 1]) for number in range(len(order))]
        removed = self._first_flip(words, attempts, attribution, kind)
        if removed is None:
            return None
        # The least important first, so that what stays out are the words that count.
        for place in reversed(order):
            if place in removed and len(removed) > 1:
                removed = self._first_flip(words, [removed - {place}], attribution, kind) or removed
        text = _without(words, removed)
        answer = self.scores(text, kind)[attribution.head]
        return Edit(
            removed=tuple(words[place] for place in sorted(removed)),
            text=text,
            label=answer.label,
            confidence=answer.confidence,
        )

    def _first_flip(
        self, words: Sequence[str], attempts: Sequence[set[int]], was: Attribution, kind: str
    ) -> set[int] | None:
        attempts = [attempt for attempt in attempts if len(attempt) < len(words)]
        answers = self._score([_without(words, attempt) for attempt in attempts], kind)
        for attempt, answer in zip(attempts, answers, strict=True):
            if answer[was.head].label != was.label:
                return attempt
        return None

    def _score(self, texts: Sequence[str], kind: str) -> list[Scores]:
        return self.predictor.predict(self.predictor.tokenize(texts), [kind] * len(texts))

    def _target(self, head: str, label: str, kind: str) -> tuple[torch.Tensor, torch.Tensor, int]:
        """The head's weight and bias over its temperature, and the label's row."""
        one, rows = next(pair for pair in self._joint.rows() if pair[0].name == head)
        temperature = one.calibrated_for(kind).temperature
        weight = self._joint.linear.weight[rows] / temperature
        bias = self._joint.linear.bias[rows] / temperature
        return weight, bias, one.labels.index(label)

    def _integrate(
        self, ids: list[int], target: tuple[torch.Tensor, torch.Tensor, int], points: int
    ) -> tuple[np.ndarray, float, float]:
        """Attribution of each token (length,), and the log-odds at the text and at the baseline."""
        embed = self._encoder.model.get_input_embeddings()
        tokens = torch.tensor(ids, device=self._device)
        special = torch.isin(tokens, self._encoder.special_ids.to(self._device))
        masked = torch.where(special, tokens, torch.tensor(self._encoder.mask_id))
        with torch.no_grad():
            end, begin = embed(tokens), embed(masked)
        # Gauss-Legendre points: their error falls far faster than that of equal steps.
        places, weights = np.polynomial.legendre.leggauss(points)
        total = torch.zeros_like(end)
        for start in range(0, points, ROWS_A_PASS):
            some = torch.tensor((places[start : start + ROWS_A_PASS] + 1) / 2).to(end)
            share = torch.tensor(weights[start : start + ROWS_A_PASS] / 2).to(end)
            rows = (begin + some[:, None, None] * (end - begin)).requires_grad_()
            (gradient,) = torch.autograd.grad(self._log_odds(rows, target).sum(), rows)
            total += (share[:, None, None] * gradient).sum(dim=0)
        with torch.no_grad():
            ends = self._log_odds(torch.stack([end, begin]), target).tolist()
        return ((end - begin) * total).sum(dim=1).double().cpu().numpy(), ends[0], ends[1]

    def _log_odds(
        self, embedded: torch.Tensor, target: tuple[torch.Tensor, torch.Tensor, int]
    ) -> torch.Tensor:
        """log(p / (1 - p)) of the label for embedded texts (n, length, width): (n,)."""
        weight, bias, label = target
        mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device)
        states = self._encoder.model(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        logits = states.float().mean(dim=1) @ weight.T + bias
        others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
        log_odds: torch.Tensor = logits[:, label] - others.logsumexp(dim=1)
        return log_odds

    @property
    def _device(self) -> torch.device:
        return self._encoder.device


def load_explainer(
    folder: Path | None = None, *, encoder: str | None = None, device: torch.device | None = None
) -> Explainer:
    """The explainer of a checkpoint folder, the shipped one if None. Raises ModelError."""
    checkpoint, weights = read_checkpoint(folder or shipped())
    base = load_encoder(encoder or checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    heads = merge(checkpoint, weights, base)
    return Explainer(
        base,
        heads,
        version=checkpoint.version,
        device=device or torch.device("cpu"),
    )


def _by_word(
    text: str, spans: Sequence[tuple[int, int]], weights: np.ndarray
) -> list[tuple[re.Match[str], float]]:
    """The text's words with the sums of their tokens' weights.

    To many tokenizers the space in front of a word is a part of its first token, or a token.
    """
    words = list(_WORD.finditer(text))
    ends = [word.end() for word in words]
    sums = np.zeros(len(words) + 1)  # one more, for what stands behind the last word
    np.add.at(sums, np.searchsorted(ends, [start for start, _ in spans], side="right"), weights)
    return list(zip(words, sums.tolist(), strict=False))


def _without(words: Sequence[str], removed: set[int]) -> str:
    return " ".join(word for place, word in enumerate(words) if place not in removed)
