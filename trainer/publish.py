"""A judged version into the registry, and word of it to every worker."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer

from models.checkpoint import write_checkpoint
from models.registry import CHAMPION, Alias, Registry
from trainer.challenge import Challenger
from trainer.gate import Verdict

TRAINER = "trainer"


def publish(
    registry: Registry,
    challenger: Challenger,
    verdict: Verdict,
    now: datetime,
    alias: str = CHAMPION,
) -> Alias:
    """Write the challenger with its verdict, put it into the registry, and point the alias at it.

    Killed before the last step, the alias points where it did. Raises ModelError.
    """
    checkpoint = msgspec.structs.replace(
        challenger.checkpoint,
        metrics=challenger.checkpoint.metrics | {"verdict": msgspec.to_builtins(verdict)},
    )
    with tempfile.TemporaryDirectory(prefix="bellwether-") as temporary:
        folder = Path(temporary) / "version"
        written = write_checkpoint(folder, checkpoint, challenger.weights)
        registry.add(folder)
    why = "; ".join(verdict.reasons)
    return registry.point(alias, written.version, by=TRAINER, why=why, now=now)


async def announce(producer: AIOKafkaProducer, topic: str, alias: Alias) -> None:
    """Tell the workers, who read the alias themselves: a lost or repeated word does no harm.

    Raises KafkaError when no broker takes it.
    """
    await producer.send_and_wait(topic, msgspec.json.encode(alias), key=alias.alias.encode())
