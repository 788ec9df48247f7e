"""python -m tests.acceptance.soak: faults for as long as you like, each round judged exactly."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.acceptance.deployment import BELLWETHER, DEADLINE_S, STUB_WORKER
from tests.acceptance.faults import (
    judge,
    publish_through,
    staged,
    workload,
)
from tests.acceptance.footprint import Footprint
from tests.acceptance.stub_worker import SPEED
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
MODELS = {"shipped": BELLWETHER, "stub": STUB_WORKER}
# What must come out yet when the last record is sent takes longer, the more there is.
BACKLOG_A_S = 200


async def one_round(
    folder: Path, chance: random.Random, chosen: argparse.Namespace
) -> tuple[list[str], str]:
    """Problems, and what happened in words; the faults are drawn from those chosen."""
    places = [folder / "kafka", folder / "redis"]
    for place in places:
        place.mkdir(parents=True)
    with (
        kafka_server(places[0]) as kafka,
        redis_server(places[1], durable=True) as redis,
        staged(kafka, redis, folder, chance, worker=MODELS[chosen.model]) as stage,
    ):
        stage.deployment.start_worker()
        await stage.deployment.ready()
        stage.deployment.start_worker()
        good, records = workload(chosen.events, chance)
        faults = chance.choices(chosen.faults, k=chosen.count) if chosen.count else []
        footprint = Footprint(stage.deployment.processes)
        async with footprint.watched():
            await publish_through(
                stage, records, faults, seconds=chosen.seconds, pause_s=chosen.pause
            )
            sent = time.monotonic()
            rate = min(BACKLOG_A_S, chosen.texts_a_second or BACKLOG_A_S)
            deadline_s = 2 * DEADLINE_S + len(records) / rate
            verdict = await judge(stage, good, records, deadline_s=deadline_s)
            caught_up_s = time.monotonic() - sent
    words = (
        f"{len(good)} events, {len(records) - len(good)} malformed, {_counted(stage.done)}: "
        f"{len(verdict.missing)} missing, {verdict.scored_repeats} repeats on scored, "
        f"{verdict.dead_letter_repeats} on dead-letter, {len(verdict.alerts)} alerts counting "
        f"{sum(verdict.alerts.values())}; caught up {caught_up_s:.0f} s after the last was sent"
        f"{footprint.describe()}{verdict.waits.describe()}"
    )
    return verdict.problems(), words


def _counted(done: list[str]) -> str:
    counts = {name: done.count(name) for name in dict.fromkeys(done)}
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "no fault"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    add = arguments.add_argument
    add("--minutes", type=float, default=10.0, help="no round begins later; default %(default)s")
    add("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    add("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    add("--count", type=int, default=6, help="faults a round; default %(default)s")
    add("--pause", type=float, default=5.0, help="mean seconds after each; default %(default)s")
    add("--events", type=int, default=1_500, help="a round; default %(default)s")
    add("--seconds", type=float, default=60.0, help="to send them in; default %(default)s")
    add("--model", choices=MODELS, default="shipped", help="default %(default)s")
    add("--texts-a-second", type=float, default=0.0, help="that a stub takes; default: any number")
    chosen = arguments.parse_args()
    os.environ[SPEED] = str(chosen.texts_a_second)
    print(f"seed {chosen.seed}")
    # A killed Kafka would fill the screen with refused connections.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    chance = random.Random(chosen.seed)
    end = time.monotonic() + chosen.minutes * 60
    rounds = 0
    with tempfile.TemporaryDirectory(prefix="bellwether-soak-") as folder:
        while time.monotonic() < end:
            rounds += 1
            problems, words = asyncio.run(one_round(Path(folder) / str(rounds), chance, chosen))
            print(f"round {rounds}: {words}", flush=True)
            if problems:
                print("\n".join(problems))
                return 1
    print(f"{rounds} rounds, no event lost, no alert wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
