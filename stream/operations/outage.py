"""Whether Kafka itself is why nothing moves: asked anew, over a connection of its own.

The clients of a worker wait out an outage inside themselves and tell nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream.connection import kafka_arguments, kafka_fault
from stream.settings import Settings, SettingsError
from stream.topics import wanted_topics

DEADLINE_S = 10.0


async def kafka_outage(settings: Settings) -> str:
    """What is wrong with the brokers and what to do; nothing if they serve all our topics."""
    kafka = settings.kafka
    try:
        admin = AIOKafkaAdminClient(**kafka_arguments(kafka))
    except SettingsError as error:
        return str(error)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await admin.start()
            topics = await admin.describe_topics(sorted(wanted_topics(settings)))
    except (KafkaError, OSError, ValueError, TimeoutError) as error:
        return f"Kafka at {kafka.bootstrap} can't be reached {await kafka_fault(kafka, error)}"
    finally:
        await admin.close()
    return unserved(topics)


def unserved(topics: Sequence[dict[str, Any]]) -> str:
    """The first fault in a cluster's description of topics, the gravest kind first."""
    partitions = [(topic, partition) for topic in topics for partition in topic["partitions"]]
    for topic, partition in partitions:
        if partition["leader"] < 0:
            return (
                f"no broker leads partition {partition['partition']} of {topic['topic']}; "
                "start the brokers that are down"
            )
    for topic, partition in partitions:
        copies, in_step = len(partition["replicas"]), len(partition["isr"])
        if in_step < copies:
            return (
                f"only {in_step} of {copies} copies of partition {partition['partition']} of "
                f"{topic['topic']} are in step; start the brokers that are down"
            )
    return ""
