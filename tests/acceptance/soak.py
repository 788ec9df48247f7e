"""python -m tests.acceptance.soak: faults for as long as you like, each round judged exactly."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.faults import (
    judge,
    publish_through,
    staged,
    workload,
)
from tests.kafka_server import kafka_server
from tests.redis_server import redis_server

FAULTS = (
    "kill_worker",
    "replace_worker",
    "zombie",
    "kill_redis",
    "cut_redis",
    "fill_redis",
    "freeze_redis",
    "slow_redis",
    "kill_kafka",
)
FAULTS_A_ROUND = 6
EVENTS_A_ROUND = 1_500
ROUND_S = 60.0


async def one_round(
    folder: Path, chance: random.Random, choice: Sequence[str]
) -> tuple[list[str], str]:
    """Problems, and what happened in words; the faults are drawn from choice."""
    places = [folder / "kafka", folder / "redis"]
    for place in places:
        place.mkdir(parents=True)
    with (
        kafka_server(places[0]) as kafka,
        redis_server(places[1], durable=True) as redis,
        staged(kafka, redis, folder, chance) as stage,
    ):
        stage.deployment.start_worker()
        await stage.deployment.ready()
        stage.deployment.start_worker()
        good, records = workload(EVENTS_A_ROUND, chance)
        faults = chance.choices(choice, k=FAULTS_A_ROUND)
        await publish_through(stage, records, faults, seconds=ROUND_S, pause_s=5)
        verdict = await judge(stage, good, records)
    words = (
        f"{len(good)} events, {len(records) - len(good)} malformed, {', '.join(stage.done)}: "
        f"{len(verdict.missing)} missing, {verdict.scored_repeats} repeats on scored, "
        f"{verdict.dead_letter_repeats} on dead-letter, {len(verdict.alerts)} alerts"
    )
    return verdict.problems(), words


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    chosen = arguments.parse_args()
    print(f"seed {chosen.seed}")
    # A killed Kafka would fill the screen with refused connections.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    chance = random.Random(chosen.seed)
    end = time.monotonic() + chosen.minutes * 60
    rounds = 0
    with tempfile.TemporaryDirectory(prefix="bellwether-soak-") as folder:
        while time.monotonic() < end:
            rounds += 1
            problems, words = asyncio.run(
                one_round(Path(folder) / str(rounds), chance, chosen.faults)
            )
            print(f"round {rounds}: {words}", flush=True)
            if problems:
                print("\n".join(problems))
                return 1
    print(f"{rounds} rounds, no event lost, no alert wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
