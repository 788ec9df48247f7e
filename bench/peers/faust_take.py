"""Faust with a shared encoder: whatever has come within 50 ms, at most 32 events, as one batch."""

from __future__ import annotations

import faust
import orjson

from bench.peers import scoring

app = faust.App(
    scoring.GROUP,
    broker=f"kafka://{scoring.BOOTSTRAP}",
    store="memory://",
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    topic_disable_leader=True,
)
source = app.topic(scoring.SOURCE, value_type=bytes, value_serializer="raw")
sink = app.topic(scoring.SINK, value_type=bytes, value_serializer="raw")
predictor = scoring.padded_predictor()


@app.agent(source)
async def classify(stream: faust.Stream) -> None:
    async for values in stream.take(32, within=0.05):
        events = [orjson.loads(value) for value in values]
        answers = predictor.predict(predictor.tokenize([event["text"] for event in events]))
        for event, scores in zip(events, answers, strict=True):
            await sink.send(key=event["id"], value=scoring.output(event, scores))


if __name__ == "__main__":
    app.main()
