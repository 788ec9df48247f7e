"""Which queues tickets go to."""

from __future__ import annotations

from pydantic import Field, field_validator

from stream.connection_settings import Section
from stream.names import TOPIC_NAME


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
