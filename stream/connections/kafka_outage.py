"""Asks Kafka over a connection of its own whether it can serve our topics.

The clients of a worker wait out an outage inside themselves and tell nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    KafkaError,
)

from stream.config.settings import Settings, SettingsError
from stream.connections.clients import kafka_arguments, kafka_fault
from stream.connections.topic_settings import topic_settings
from stream.connections.topics import wanted_topics

DEADLINE_S = 10.0
# A cluster that never had a group needs a moment for its first.
GROUP_DEADLINE_S = 5.0
AGAIN_S = 0.2
LEAST_IN_STEP = "min.insync.replicas"


async def kafka_outage(settings: Settings) -> str:
    """What is wrong with the brokers; nothing if they serve all our topics and the group."""
    kafka = settings.kafka
    try:
        admin = AIOKafkaAdminClient(**kafka_arguments(kafka))
    except SettingsError as error:
        return str(error)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await admin.start()
            return await outage_now(admin, settings)
    except (KafkaError, OSError, ValueError, TimeoutError) as error:
        return f"Kafka at {kafka.bootstrap} can't be reached {await kafka_fault(kafka, error)}"
    finally:
        await admin.close()


async def outage_now(admin: AIOKafkaAdminClient, settings: Settings) -> str:
    """The same of topics that are all there, over a connection that is. Raises KafkaError."""
    names = sorted(wanted_topics(settings))
    topics = await admin.describe_topics(names)
    # Sources are only read, which takes a leader and no more.
    sources = {source.topic for source in settings.sources}
    ours = [name for name in names if name not in sources]
    needed = await _needed(admin, ours) | dict.fromkeys(sources, 1)
    return unserved(topics, needed) or await _group_trouble(admin, settings.kafka.group)


async def _group_trouble(admin: AIOKafkaAdminClient, group: str) -> str:
    """Why no broker looks after the group, which the description of our topics does not show."""
    until = time.monotonic() + GROUP_DEADLINE_S
    while True:
        try:
            await admin.find_coordinator(group)
        except GroupAuthorizationFailedError:
            return f"the user may not read the group {group}; docs/security.md lists its rights"
        except GroupCoordinatorNotAvailableError:
            if time.monotonic() >= until:
                return (
                    f"no broker looks after the group {group}; start the brokers that are down, "
                    "or give __consumer_offsets no more copies than there are brokers "
                    "(offsets.topic.replication.factor)"
                )
            await asyncio.sleep(AGAIN_S)
        else:
            return ""


async def _needed(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """By topic: copies that must be in step for it to take a record, where we may know that."""
    found = await topic_settings(admin, names, {LEAST_IN_STEP})
    return {topic: int(has[LEAST_IN_STEP]) for topic, has in found.items() if has}


def unserved(topics: Sequence[dict[str, Any]], needed: Mapping[str, int]) -> str:
    """The first fault in a cluster's description of topics, the gravest kind first.

    A copy that is behind is none while enough are in step. How many a topic needs is in needed;
    where a right is missing to know it, it is taken to need more than half.
    """
    partitions = [(topic, partition) for topic in topics for partition in topic["partitions"]]
    for topic, partition in partitions:
        if partition["leader"] < 0:
            return (
                f"no broker leads partition {partition['partition']} of {topic['topic']}; "
                "start the brokers that are down"
            )
    for topic, partition in partitions:
        copies, in_step = len(partition["replicas"]), len(partition["isr"])
        least = needed.get(topic["topic"], copies // 2 + 1)
        if in_step < least:
            return (
                f"only {in_step} of {copies} copies of partition {partition['partition']} of "
                f"{topic['topic']} are in step, and it needs {least}; start the brokers that are "
                f"down, or mend {LEAST_IN_STEP} if it has no more copies"
            )
    return ""
