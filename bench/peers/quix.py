"""Quix Streams as its pages show it: a function applied to each event."""

from __future__ import annotations

from typing import Any

import orjson
from quixstreams import Application

from bench.peers import scoring

predictor = scoring.padded_predictor()


def classify(value: bytes) -> bytes:
    event: dict[str, Any] = orjson.loads(value)
    (scores,) = predictor.predict(predictor.tokenize([event["text"]]))
    return scoring.output(event, scores)


def main() -> None:
    app = Application(
        broker_address=scoring.BOOTSTRAP,
        consumer_group=scoring.GROUP,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="WARNING",
    )
    source = app.topic(scoring.SOURCE, value_deserializer="bytes")
    sink = app.topic(scoring.SINK, value_serializer="bytes")
    app.dataframe(source).apply(classify).to_topic(sink)
    app.run()


if __name__ == "__main__":
    main()
