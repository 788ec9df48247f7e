"""Three real Kafka brokers for tests: every record has three copies, and two must be in step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.kafka_server import KafkaServer, Member, kafka_classpath, new_members

NODES = 3
HEAP = "256m"
ADMIN_TIMEOUT_S = 20.0


@contextmanager
def kafka_cluster(folder: Path) -> Iterator[KafkaCluster]:
    """Started brokers with their data under folder; stopped at the end.

    Raises MissingComponentError without Java or Maven, ServerError when one does not come up.
    """
    cluster = KafkaCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        # Nobody needs their data any more, and each would wait for the others to say good-bye.
        cluster.kill()


class KafkaCluster:
    """Each broker is a controller too; after kill(), start() brings all back on their data."""

    def __init__(self, folder: Path) -> None:
        def prepare(member: Member) -> KafkaServer:
            place = folder / f"kafka-{member.node}"
            place.mkdir(parents=True)
            return KafkaServer(place, member=member)

        kafka_classpath()  # fetched once, before all three ask for it
        with ThreadPoolExecutor(NODES) as threads:
            prepared = threads.map(prepare, new_members(NODES, heap=HEAP))
            self._brokers = {broker.member.node: broker for broker in prepared}
        self.bootstrap = ",".join(broker.bootstrap for broker in self._brokers.values())

    def start(self) -> None:
        """All at once: alone none of them could elect a controller, and so answer."""
        self._at_once(lambda broker: broker.start())

    def kill(self) -> None:
        self._at_once(lambda broker: broker.kill())

    def leader(self, topic: str, partition: int) -> KafkaServer:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        found = admin.list_topics(topic, timeout=ADMIN_TIMEOUT_S).topics[topic]
        return self._brokers[found.partitions[partition].leader]

    def replicas(self, topic: str) -> set[int]:
        """How many copies the topic's partitions have."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        found = admin.list_topics(topic, timeout=ADMIN_TIMEOUT_S).topics[topic]
        return {len(partition.replicas) for partition in found.partitions.values()}

    def _at_once(self, do: Callable[[KafkaServer], None]) -> None:
        with ThreadPoolExecutor(NODES) as threads:
            list(threads.map(do, self._brokers.values()))
