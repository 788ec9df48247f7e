"""Bytewax: up to 64 events, or what has come within 50 ms, sorted by length and scored at once."""

from __future__ import annotations

from datetime import timedelta

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from bench.peers import scoring

BATCH = 64

predictor = scoring.padded_predictor()


def classify(
    keyed: tuple[str, list[KafkaSourceMessage]],
) -> list[KafkaSinkMessage[bytes | None, bytes]]:
    _, messages = keyed
    events = [orjson.loads(message.value) for message in messages]
    answers = scoring.score(predictor, [event["text"] for event in events], BATCH)
    return [
        KafkaSinkMessage(message.key, scoring.output(event, scores))
        for message, event, scores in zip(messages, events, answers, strict=True)
    ]


def dataflow() -> Dataflow:
    flow = Dataflow("peer")
    brokers = [scoring.BOOTSTRAP]
    # Every partition is read in turn, and only then is anything written: more would come in waves.
    each = BATCH // scoring.PARTITIONS
    read = kafka.input("in", flow, brokers=brokers, topics=[scoring.SOURCE], batch_size=each)
    # Only what has a key can be collected; one key for all, or batches would be of one key each.
    keyed = op.key_on("key", read.oks, lambda _message: "all")
    batches = op.collect("collect", keyed, timeout=timedelta(milliseconds=50), max_size=BATCH)
    scored = op.flat_map("score", batches, classify)
    kafka.output("out", scored, brokers=brokers, topic=scoring.SINK)
    return flow


if __name__ == "__main__":
    # What an epoch read goes out when the epoch ends; by default that takes ten seconds.
    cli_main(dataflow(), epoch_interval=timedelta(seconds=1))
