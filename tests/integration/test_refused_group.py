"""A worker that its consumer group does not take says so and ends, instead of waiting for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0


@contextmanager
def another_program(bootstrap: str, group: str) -> Iterator[None]:
    """One that has joined the group, and shares partitions out in a way unknown to Faust."""
    topic = f"{group}-topic"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(DEADLINE_S)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    joined: list[object] = []
    consumer.subscribe([topic], on_assign=lambda *_: joined.append(True))
    try:
        for _ in range(round(DEADLINE_S)):
            consumer.poll(1.0)
            if joined:
                break
        assert joined
        yield
    finally:
        consumer.close()


def test_a_group_that_another_program_uses_is_named(kafka: str, redis_url: str) -> None:
    group = f"refused-{uuid.uuid4().hex[:8]}"
    with another_program(kafka, group):
        run = subprocess.run(
            [sys.executable, "-m", "tests.acceptance.stub_worker", "worker"],
            cwd=ROOT,
            env={
                **os.environ,
                "BELLWETHER_KAFKA__BOOTSTRAP": kafka,
                "BELLWETHER_KAFKA__GROUP": group,
                "BELLWETHER_KAFKA__PREFIX": f"{group}.",
                "BELLWETHER_REDIS__URL": redis_url,
            },
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert run.returncode == 1, run.stderr
    assert f"the group {group} does not take this worker" in run.stderr
