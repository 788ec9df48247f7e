"""The texts measured on: a file given by the user, else the sentences of the repository."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import orjson

from stream.connections.outbox import Outgoing

TOPICS = ("news", "social", "tickets")
SENTENCES = Path(__file__).parents[1] / "trainer" / "sentences"


def load_texts(path: Path | None, count: int) -> list[str]:
    """Texts in a fixed shuffled order; repeated from the start if there are too few."""
    if path is not None:
        texts = [str(orjson.loads(line)["text"]) for line in path.read_bytes().splitlines()]
    else:
        texts = []
        for file in sorted(SENTENCES.glob("*.tsv")):
            with file.open(encoding="utf-8", newline="") as lines:
                rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
                texts.extend(row["text"] for row in rows)
    random.Random(1).shuffle(texts)
    return list(islice(cycle(texts), count))


def events(texts: Sequence[str]) -> Iterator[Outgoing]:
    """For ever, to each source in turn; no text as one before, or most would be copies."""
    for number, text in enumerate(cycle(texts)):
        record = {"id": f"e-{number}", "text": f"{text} {number}"}
        yield Outgoing(TOPICS[number % len(TOPICS)], record["id"].encode(), orjson.dumps(record))
