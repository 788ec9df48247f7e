"""Real texts of three kinds, and malformed records of ten sorts with the reason each must get."""

from __future__ import annotations

import csv
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import orjson

SENTENCES = Path(__file__).parents[2] / "trainer" / "sentences"
TOPICS = {"news": "news", "social": "social", "ticket": "tickets"}

# However many events: all of one subject lie within one alerting.quiet_s, and so in one episode.
BEGAN, WITHIN_S = 1_780_000_000, 3_000

Record = tuple[str, bytes | None, bytes | None]


def texts(kind: str) -> list[str]:
    found: list[str] = []
    for path in sorted(SENTENCES.glob(f"{kind}*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            found.extend(row["text"] for row in rows)
    return found


def good_records(count: int) -> dict[str, Record]:
    """Event id to record, the three kinds in turn; every fifth one names a company of five."""
    sources = {kind: itertools.cycle(texts(kind)) for kind in TOPICS}
    records: dict[str, Record] = {}
    for place in range(count):
        kind = ("news", "social", "ticket")[place % 3]
        identity = f"{kind}-{place}"
        event = {"id": identity, "text": next(sources[kind]), "time": BEGAN + place % WITHIN_S}
        if kind == "ticket":
            event["customer"] = f"c-{place % 400}"
        elif place % 5 == 0:
            event["tickers"] = [("NORR", "HALC", "BRYN", "TELV", "QUIL")[place % 25 // 5]]
        records[identity] = (TOPICS[kind], identity.encode(), orjson.dumps(event))
    return records


SORTS: dict[str, tuple[bytes | None, str, str]] = {
    "tombstone": (None, "tombstone", ""),
    "not UTF-8": (b'{"text": "caf\xe9"}', "not_utf8", ""),
    "not JSON": (b"this is not json", "not_json", ""),
    "not an object": (b'["a", "list"]', "not_an_object", ""),
    "no text": (b'{"id": "x"}', "no_text", "text"),
    "text of a wrong type": (b'{"text": 42}', "wrong_type", "text"),
    "tickers of a wrong type": (b'{"text": "a", "tickers": {"a": 1}}', "wrong_type", "tickers"),
    "unreadable time": (b'{"text": "a", "time": "yesterday-ish"}', "bad_time", "time"),
    "absurd time": (b'{"text": "a", "time": "2199-01-01T00:00:00Z"}', "absurd_time", "time"),
    "id of a wrong type": (b'{"text": "a", "id": ["x"]}', "wrong_type", "id"),
}


def bad_records(of_each: int) -> Iterator[Record]:
    for value, _reason, _field in SORTS.values():
        for turn in range(of_each):
            yield ("news", "social", "tickets")[turn % 3], b"bad", value


def mixed(good: dict[str, Record], of_each: int, *, seed: int = 7) -> list[Record]:
    """The good ones in order, the bad ones strewn among them."""
    records = list(good.values())
    chance = random.Random(seed)
    for bad in bad_records(of_each):
        records.insert(chance.randrange(len(records)), bad)
    return records
