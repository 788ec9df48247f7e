from __future__ import annotations

from datetime import timedelta

import orjson

from stream.demo.feed import FEED, feed_until
from stream.ingest.event_time import parse_time
from tests.fakes import NOON

WRONG_ON_PURPOSE = {"2199-01-01T00:00:00Z", "yesterday-ish"}


def times(lines: list[bytes]) -> list[str]:
    found = []
    for line in lines:
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if type(fields) is dict and type(fields.get("time")) is str:
            found.append(fields["time"])
    return found


def test_the_day_of_the_feed_ends_when_it_is_told_to() -> None:
    played = times([line for _, _, line in feed_until(NOON)])
    good = [parse_time(time) for time in played if time not in WRONG_ON_PURPOSE]
    assert NOON - timedelta(hours=13) < min(good) < max(good) < NOON
    assert NOON - max(good) < timedelta(hours=1)


def test_nothing_else_of_the_feed_changes() -> None:
    written = FEED.read_bytes().splitlines()
    played = [line.rstrip(b"\n") for _, _, line in feed_until(NOON)]
    assert len(played) == len(written)
    before, after = times(written), times(played)
    assert len(before) == len(after)
    assert {time for time in after if time in WRONG_ON_PURPOSE} == WRONG_ON_PURPOSE
    steps = [
        parse_time(late) - parse_time(early)
        for early, late in zip(before, after, strict=True)
        if early not in WRONG_ON_PURPOSE
    ]
    assert len(set(steps)) == 1
