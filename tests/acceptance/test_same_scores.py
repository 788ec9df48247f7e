"""`bellwether score` says what the stream says, whatever batch a text rode in."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from models.int8 import multiplies_int8
from tests.acceptance.deployment import Deployment, values
from tests.acceptance.workload import TOPICS, good_records

EVENTS = 210

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(400)]


NEEDS_INT8 = pytest.mark.skipif(not multiplies_int8(), reason="no VNNI or AMX here")


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [("fp32", 1e-4), ("bf16", 0.02), pytest.param("int8", 0.05, marks=NEEDS_INT8)],
)
async def test_file_and_stream_agree(
    kafka: str, redis_url: str, tmp_path: Path, precision: str, tolerance: float
) -> None:
    deployment = Deployment(
        kafka, redis_url, tmp_path, more_settings=f'[model]\nprecision = "{precision}"'
    )
    good = good_records(EVENTS)
    kinds = {topic: kind for kind, topic in TOPICS.items()}
    feed = tmp_path / "feed.jsonl"
    feed.write_bytes(
        b"\n".join(
            orjson.dumps({**orjson.loads(value or b""), "source": kinds[topic]})
            for topic, _, value in good.values()
        )
    )
    output = tmp_path / "scored.jsonl"
    try:
        deployment.start_worker()
        await deployment.ready()
        await deployment.publish(good.values())
        streamed = {
            value["id"]: value
            for value in values(await deployment.read("scored", lambda found: len(found) >= EVENTS))
        }
        deployment.command("score", str(feed), "--output", str(output))
    finally:
        deployment.close()
    filed = [orjson.loads(line) for line in output.read_bytes().splitlines()]
    assert [record["id"] for record in filed] == list(good)
    batches = set()
    for record in filed:
        other = streamed[record["id"]]
        batches.add((record["batch"]["size"], other["batch"]["size"]))
        for name, head in record["heads"].items():
            theirs = other["heads"][name]
            for label, probability in head["scores"].items():
                assert abs(probability - theirs["scores"][label]) <= tolerance, record["id"]
            if head["label"] != theirs["label"]:
                first, second = sorted(head["scores"].values())[-2:]
                assert second - first <= 2 * tolerance, record["id"]
    assert any(ours != theirs for ours, theirs in batches), "every text rode in the same batch"
