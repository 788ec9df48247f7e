"""Embedded parts to measure on: a broker in a process of its own, and the settings of a worker."""

from __future__ import annotations

import contextlib
import multiprocessing
import uuid
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from stream.config.settings import Settings, load_settings
from stream.connections.topics import wanted_topics
from stream.demo.embedded import EmbeddedBroker


@contextlib.contextmanager
def own_broker() -> Iterator[str]:
    """Its address; the topics of the default settings are there.

    So its records are not the worker's memory, nor its work the worker's time.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("enough")
        process.join()


def settings_on(bootstrap: str, redis_url: str, **sections: dict[str, Any]) -> Settings:
    """The default ones on these parts, with a consumer group and keys of their own.

    So nothing is a redelivery of what was measured before. sections change more.
    """
    base = load_settings(None)
    own = uuid.uuid4().hex
    changed = {
        "kafka": {"bootstrap": bootstrap, "group": own},
        "redis": {"url": redis_url, "prefix": f"{own}:"},
        **sections,
    }
    return base.model_copy(
        update={
            name: getattr(base, name).model_copy(update=fields) for name, fields in changed.items()
        }
    )


def _serve(pipe: Connection) -> None:
    with EmbeddedBroker() as broker:
        broker.create_topics(sorted(wanted_topics(load_settings(None))))
        pipe.send(broker.bootstrap)
        pipe.recv()
