"""Adds a judged version to the registry, moves the alias, and announces it to every worker."""

from __future__ import annotations

import logging
import tempfile
from functools import partial
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer

from models.checkpoint import write_checkpoint
from models.registry import CHALLENGER, CHAMPION, Alias, AliasMovedError, Registry
from stream.records import utc_now
from trainer.promotion.challenge import Challenger
from trainer.promotion.gate import Verdict

logger = logging.getLogger(__name__)

TRAINER = "trainer"


def publish(
    registry: Registry, challenger: Challenger, verdict: Verdict, shadowed: bool, after: int
) -> Alias | None:
    """Write the challenger with its verdict, put it into the registry, and make it champion.

    shadowed: or the version in shadow. after: the number of the move that made the champion that it
    was judged by. Gives None where that champion is gone, and no alias moves. Killed before the
    last step, the alias points where it did. Raises ModelError.
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
    point = partial(registry.point, version=written.version, by=TRAINER, why=why, now=utc_now())
    if shadowed:
        # A champion that goes just after this look ends the time in shadow.
        champion = registry.alias(CHAMPION)
        return point(CHALLENGER) if champion and champion.number == after else None
    try:
        return point(CHAMPION, after=after)
    except AliasMovedError as error:
        logger.warning("%s", error)
        return None


async def announce(producer: AIOKafkaProducer, topic: str, alias: Alias) -> None:
    """Tell the workers, who read the alias themselves: a lost or repeated word does no harm.

    Raises KafkaError when no broker takes it.
    """
    await producer.send_and_wait(topic, msgspec.json.encode(alias), key=alias.alias.encode())
