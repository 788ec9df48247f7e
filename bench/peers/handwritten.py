"""An expert's own loop: aiokafka, a window sorted by length, the best precision, `send_batch`."""

from __future__ import annotations

import asyncio

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.peers import scoring
from models.predictor import TorchPredictor

WINDOW = 256
BATCH = 16
BATCH_BYTES = 512 * 1024


async def main(predictor: TorchPredictor) -> None:
    consumer = AIOKafkaConsumer(
        scoring.SOURCE,
        bootstrap_servers=scoring.BOOTSTRAP,
        group_id=scoring.GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=scoring.BOOTSTRAP, acks="all", max_batch_size=BATCH_BYTES
    )
    await consumer.start()
    await producer.start()
    partitions = sorted(await producer.partitions_for(scoring.SINK))
    turn = 0
    while True:
        fetched = await consumer.getmany(timeout_ms=200, max_records=WINDOW)
        events = [orjson.loads(one.value) for records in fetched.values() for one in records]
        if not events:
            continue
        # In a thread, so that the group's heartbeat goes on.
        texts = [event["text"] for event in events]
        answers = await asyncio.to_thread(scoring.score, predictor, texts, BATCH)
        batch = producer.create_batch()
        for event, scores in zip(events, answers, strict=True):
            value = scoring.output(event, scores)
            if batch.append(key=None, value=value, timestamp=None) is None:
                raise RuntimeError(f"a window of {WINDOW} events does not fit into one batch")
        sent = await producer.send_batch(
            batch, scoring.SINK, partition=partitions[turn % len(partitions)]
        )
        await sent
        turn += 1
        await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main(scoring.padded_predictor(scoring.best_precision())))
