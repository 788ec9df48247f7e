"""The embedded broker in a process of its own: its records are not the worker's memory or time."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection

from stream.demo.embedded import EmbeddedBroker
from stream.settings import load_settings
from stream.topics import wanted_topics


@contextlib.contextmanager
def own_broker() -> Iterator[str]:
    """Its address; the topics of the default settings are there."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("enough")
        process.join()


def _serve(pipe: Connection) -> None:
    with EmbeddedBroker() as broker:
        broker.create_topics(sorted(wanted_topics(load_settings(None))))
        pipe.send(broker.bootstrap)
        pipe.recv()
