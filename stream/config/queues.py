"""Which queues tickets go to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from pydantic import Field, field_validator

from stream.config.connections import Section
from stream.names import TOPIC_NAME

RISKS = frozenset({"low", "medium", "high"})


class Queue(Section):
    """A ticket queue; the first whose matchers hold takes a ticket. An empty one holds always."""

    name: str
    topics: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    heads: dict[str, tuple[str, ...]] = Field({}, description="labels by head, of other heads")

    @property
    def matchers(self) -> dict[str, tuple[str, ...]]:
        """By head, the labels of which it must give one."""
        asked = {"topic": self.topics, "risk": self.risks, **self.heads}
        return {head: labels for head, labels in asked.items() if labels}

    def takes_all_of(self, other: Queue) -> bool:
        """Whether no ticket that other takes gets past this one."""
        return all(
            head in other.matchers and set(other.matchers[head]) <= set(labels)
            for head, labels in self.matchers.items()
        )

    @field_validator("name")
    @classmethod
    def _name_is_legal(cls, name: str) -> str:
        if not TOPIC_NAME.fullmatch(name):
            raise ValueError("must be usable in a Kafka topic name: letters, digits, '.', '_', '-'")
        if name == "review":
            raise ValueError("is reserved for the doubtful tickets; choose another name")
        return name


DEFAULT_QUEUES = (
    Queue(name="fraud", topics=("fraud_security",)),
    Queue(name="legal", topics=("regulation_legal",)),
    Queue(name="urgent", risks=("high",)),
    Queue(name="access", topics=("account_access",)),
    Queue(name="cards", topics=("cards",)),
    Queue(name="payments", topics=("transfers_topups",)),
    Queue(name="billing", topics=("billing_fees",)),
    Queue(name="general"),
)


def check_places(queues: Sequence[Queue]) -> None:
    """Raises ValueError unless every ticket has one place, and every queue can get a ticket."""
    for position, queue in enumerate(queues):
        if unknown := set(queue.risks) - RISKS:
            raise ValueError(
                f"queues.{position}.risks: unknown risk {min(unknown)!r}; low, medium or high"
            )
    for (above, one), (below, other) in combinations(enumerate(queues), 2):
        if not one.matchers:
            raise ValueError(
                f"queues.{above}: {one.name!r} has no topics, risks or heads, so that it takes "
                f"every ticket and {other.name!r} none; make it the last"
            )
        if one.takes_all_of(other):
            raise ValueError(
                f"queues.{below}: {other.name!r} never gets a ticket, as {one.name!r} above takes "
                "all that it would; move it up, or remove it"
            )
    if queues[-1].matchers:
        raise ValueError(
            f"queues: the last queue {queues[-1].name!r} must have no topics, risks or heads, "
            "so that every ticket has a place"
        )
