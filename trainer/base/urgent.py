"""How grave a ticket is, in few words: outages, danger and trifles, taught to the risk head alone.

Our tickets are long on stories and short on what people write in haste. The encoder stays as it is,
and so does every other head, bit for bit. The objective is convex, so no seed and no order matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling

from models.checkpoint import merge, stored_heads
from models.description import Checkpoint
from models.encoder import Encoder, load_encoder
from models.spec import DEFAULT_HEADS, Head
from trainer.data.dataset import SENTENCES, Example, read_sentences
from trainer.fitting.batches import Texts
from trainer.fitting.measure import pooled_vectors
from trainer.fitting.refit import minimise

URGENT = SENTENCES / "urgent"
HEAD = "risk"
# Chosen on a fifth of the sentences, left out, and on the test parts of the others.
WEIGHT = 6.0
STAY = 1.0
STEPS = 60


def teach_urgency(
    checkpoint: Checkpoint,
    stored: dict[str, torch.Tensor],
    train: Sequence[Example],
    *,
    max_tokens: int,
) -> int:
    """Fit the risk head in stored anew to all that is labelled and WEIGHT times to those of URGENT.

    STAY holds its weights where they were. Returns how many sentences there are.
    """
    encoder = load_encoder()
    joint = merge(checkpoint, stored, encoder)
    (head, rows), *_ = [pair for pair in joint.rows() if pair[0].name == HEAD]
    urgent = read_sentences(URGENT, DEFAULT_HEADS)
    labelled = [one for one in train if len(one.labels.get(HEAD, ())) == 1]
    vectors, targets = _vectors(encoder, [*labelled, *urgent], head, max_tokens)
    weights = torch.ones(len(targets))
    weights[len(labelled) :] = WEIGHT
    weight, bias = joint.linear.weight[rows].detach(), joint.linear.bias[rows].detach()
    change = [torch.zeros_like(part, requires_grad=True) for part in (weight, bias)]

    def loss() -> torch.Tensor:
        logits = F.linear(vectors, weight + change[0], bias + change[1])
        fit = (F.cross_entropy(logits, targets, reduction="none") * weights).sum()
        return fit + STAY * (change[0].square().sum() + change[1].square().sum())

    minimise(change, loss, STEPS)
    with torch.no_grad():
        joint.linear.weight[rows] += change[0]
        joint.linear.bias[rows] += change[1]
    stored |= stored_heads(joint)
    return len(urgent)


def _vectors(
    encoder: Encoder, examples: Sequence[Example], head: Head, max_tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    texts = Texts(examples, encoder, [head], max_tokens)
    # A clone is no inference tensor, so that it may take part in a gradient.
    vectors = pooled_vectors(encoder, texts.tokens, bf16=False).clone()
    return vectors, torch.tensor(texts.targets[head.name])
