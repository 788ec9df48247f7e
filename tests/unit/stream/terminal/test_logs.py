"""A library that repeats itself is heard once in a while; everyone else always."""

from __future__ import annotations

import logging

from stream.terminal.logs import SPARING_S, Sparing, set_up_logging


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def record(name: str, message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, values, None)


def test_a_message_of_a_kind_comes_once_and_says_how_many_were_left_out() -> None:
    clock = Clock()
    sparing = Sparing(clock)
    shown = []
    for node in range(5):
        one = record("aiokafka.conn", "no connection to node %s", node)
        shown.append(sparing.filter(one))
    assert shown == [True, False, False, False, False]
    other = record("aiokafka.conn", "no metadata from %s", [1, 2])
    assert sparing.filter(other)
    clock.now += SPARING_S
    late = record("aiokafka.conn", "no connection to node %s", 7)
    assert sparing.filter(late)
    assert late.getMessage() == "no connection to node 7 (4 more like it were left out)"


def test_our_own_words_always_pass() -> None:
    sparing = Sparing(Clock())
    for name in ("stream.worker.app", "models.batcher"):
        assert all(sparing.filter(record(name, "again %s", "and again")) for _ in range(5))


def test_records_that_retention_has_taken_are_named_though_their_library_is_hushed() -> None:
    set_up_logging("INFO")
    assert logging.getLogger("aiokafka.consumer.fetcher").isEnabledFor(logging.INFO)
    assert not logging.getLogger("aiokafka.conn").isEnabledFor(logging.INFO)
    set_up_logging("ERROR")
    assert not logging.getLogger("aiokafka.consumer.fetcher").isEnabledFor(logging.WARNING)
