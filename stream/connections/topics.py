"""Kafka before the stream starts: wait for a broker, see that every topic is there."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)

from stream.config.settings import Settings
from stream.connections.clients import kafka_arguments, kafka_fault
from stream.connections.outbox import MAX_REQUEST_BYTES
from stream.runtime.backoff import Backoff
from stream.runtime.errors import StartError

LEDGER_DAYS = 400

logger = logging.getLogger(__name__)


async def prepare_topics(settings: Settings) -> None:
    """Create our own topics and any source topic that is missing.

    Waits up to worker.start_timeout_s for a broker, and for one that can create what is missing.
    Raises StartError when none does, or when a topic is missing and may not be created.
    """
    admin = await _connect(settings)
    try:
        wanted = wanted_topics(settings)
        missing = wanted.keys() - set(await admin.list_topics())
        if not missing:
            return
        if not settings.kafka.create_topics:
            raise StartError(
                f"topics {', '.join(sorted(missing))} do not exist and kafka.create_topics is off; "
                "create them or turn it on"
            )
        await _wait_for_controller(admin, settings, missing)
        sources = {source.topic for source in settings.sources}
        for name in sorted(missing & sources):
            logger.warning(
                "source topic %s did not exist; creating it with %d partitions",
                name,
                settings.kafka.partitions,
            )
        await _create(admin, settings, {name: wanted[name] for name in sorted(missing)})
    except (KafkaError, OSError) as error:
        raise StartError(f"Kafka refused to list or create topics: {error}") from error
    finally:
        await admin.close()


def wanted_topics(settings: Settings) -> dict[str, dict[str, str]]:
    """Every topic a worker touches, with the settings it is created with."""
    topics = settings.topics
    # What is made of a record is little larger than the record, and that may be 4 MB.
    roomy = {"max.message.bytes": str(MAX_REQUEST_BYTES)}
    made_of_records = [
        *(topics.queue(queue.name) for queue in settings.queues),
        topics.scored,
        topics.alerts,
        topics.review,
        topics.dead_letter,
    ]
    others = [*(source.topic for source in settings.sources), topics.feedback, topics.shadow]
    wanted: dict[str, dict[str, str]] = {
        **{name: {} for name in others},
        **dict.fromkeys(made_of_records, roomy),
    }
    wanted[topics.models] = {"cleanup.policy": "compact"}
    wanted[topics.replays] = {"cleanup.policy": "compact"}
    # Keys repeat but for the entries, which a worker writes when something new comes into force.
    wanted[topics.ledger] = {
        "cleanup.policy": "compact,delete",
        "retention.ms": str(LEDGER_DAYS * 86_400_000),
        **roomy,
    }
    return wanted


async def _wait_for_controller(
    admin: AIOKafkaAdminClient, settings: Settings, missing: Collection[str]
) -> None:
    """New topics are asked of the controller, and aiokafka breaks where there is none."""
    kafka = settings.kafka
    backoff = Backoff(f"waiting for a controller among the brokers of {kafka.bootstrap}", logger)
    while True:
        cluster = await admin.describe_cluster()
        controller = cluster.get("controller_id", -1)  # brokers before 0.10 do not say
        if controller in {broker["node_id"] for broker in cluster["brokers"]}:
            return
        if backoff.waited_s > settings.worker.start_timeout_s:
            raise StartError(
                f"topics {', '.join(sorted(missing))} do not exist, and Kafka at {kafka.bootstrap} "
                f"has no controller that could create them after {backoff.waited_s:.0f} s; "
                "start the brokers that are down, or create the topics yourself"
            )
        await backoff.wait(LookupError("none creates topics"))


async def _create(
    admin: AIOKafkaAdminClient, settings: Settings, missing: Mapping[str, dict[str, str]]
) -> None:
    """Brokers that start one after the other are at first fewer than a topic is to have copies."""
    kafka = settings.kafka
    topics = [
        NewTopic(
            name,
            num_partitions=kafka.partitions,
            replication_factor=kafka.replication,
            # aiokafka lets -1 pass only beside an assignment; an empty one says nothing.
            replica_assignments={} if kafka.replication == -1 else None,
            topic_configs=configs,
        )
        for name, configs in missing.items()
    ]
    backoff = Backoff(f"waiting for brokers at {kafka.bootstrap} that can create topics", logger)
    while True:
        answers = (await admin.create_topics(topics)).topic_errors
        refused = [
            (name, for_code(code), message[0])
            for name, code, *message in answers
            # Another worker that starts at the same moment may have been first.
            if code and for_code(code) is not TopicAlreadyExistsError
        ]
        if not refused:
            return
        name, error, said = refused[0]
        over = backoff.waited_s > settings.worker.start_timeout_s
        if over or not (error.retriable or error is InvalidReplicationFactorError):
            raise StartError(f"topic {name} can't be created: {error.__name__} {said}")
        await backoff.wait(error(said))


async def _connect(settings: Settings) -> AIOKafkaAdminClient:
    kafka = settings.kafka
    arguments = kafka_arguments(kafka)
    backoff = Backoff(f"waiting for Kafka at {kafka.bootstrap}", logger)
    while True:
        admin = AIOKafkaAdminClient(**arguments)
        try:
            await admin.start()
        except (KafkaError, OSError, ValueError) as error:
            await admin.close()
            if isinstance(error, ValueError) or backoff.waited_s > settings.worker.start_timeout_s:
                raise StartError(
                    f"Kafka at {kafka.bootstrap} can't be reached after {backoff.waited_s:.0f} s "
                    f"{await kafka_fault(kafka, error)}"
                ) from error
            await backoff.wait(error)
        else:
            return admin
