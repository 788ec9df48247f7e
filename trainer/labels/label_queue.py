"""The label queue: which of the latest events people should label next, and why."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trainer.labels.active_learning import choose
from trainer.labels.label_log import SeenEvent
from trainer.labels.question import Question
from trainer.labels.settlement import Label
from trainer.promotion.contender import Contender

QUESTIONS_PER_HEAD = 20


def questions(
    champion: Contender, events: Sequence[SeenEvent], labels: Sequence[Label]
) -> list[Question]:
    """Per head the most useful of events that nobody has labelled, the most useful first."""
    texts = list({event.text: event for event in events}.values())
    if not texts:
        return []
    # Most of them nobody will ever label, and the service runs for months.
    vectors = champion.vectors([event.text for event in texts], remember=False)
    found: list[Question] = []
    with torch.inference_mode():
        logits = champion.joint(vectors)
    for head in champion.joint.heads:
        known = champion.vectors([one.text for one in labels if one.head == head.name])
        temperatures = [head.calibrated_for(event.source).temperature for event in texts]
        divided = logits[head.name] / torch.tensor(temperatures).unsqueeze(1)
        probabilities = divided.softmax(dim=1)
        for at, why in choose(probabilities, vectors, known, QUESTIONS_PER_HEAD):
            confidence, label = probabilities[at].max(dim=0)
            event = texts[at]
            found.append(
                Question(
                    head=head.name,
                    event_id=event.id,
                    source=event.source,
                    text=event.text,
                    label=head.labels[int(label)],
                    confidence=float(confidence),
                    why=why,
                )
            )
    return found
