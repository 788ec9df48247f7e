"""A real Apache Kafka for tests: nodes in KRaft mode, run from Maven Central's jars."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.certificates import Certificates
from tests.server_process import MissingComponentError, ServerError, ServerProcess, free_ports

POM = Path(__file__).with_name("kafka.pom.xml")
CACHE = Path(__file__).parents[1] / ".cache" / "kafka"
START_DEADLINE_S = 90.0
PROBE_TIMEOUT_S = 2.0
# The two flags halve the start-up.
JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
LOG_LEVEL = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"

PROPERTIES = """\
process.roles=broker,controller
node.id={member.node}
controller.quorum.voters={member.voters}
controller.listener.names=CONTROLLER
listeners=CONTROLLER://127.0.0.1:{member.controller_port},{listeners}
advertised.listeners={listeners}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
log.dirs={data}
num.partitions=4
default.replication.factor={member.replicas}
min.insync.replicas={member.in_sync}
# How long a killed broker counts as alive, and its successor under the same id must wait.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor={member.replicas}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={member.replicas}
transaction.state.log.min.isr={member.in_sync}
share.coordinator.state.topic.replication.factor={member.replicas}
share.coordinator.state.topic.min.isr={member.in_sync}
"""

# PLAINTEXT stays, for the broker itself and for tests to look in by: who comes by it may do all,
# others what a test gives them.
SECURE_PROPERTIES = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={certificates.server_chain}
ssl.truststore.type=PEM
ssl.truststore.location={certificates.ca}
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-512,SCRAM-SHA-256,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
    org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=\
    org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=\
    org.apache.kafka.common.security.plain.PlainLoginModule required \
    user_{user}="{password}";
"""
USER = "bellwether"


@dataclass(frozen=True)
class Member:
    """One node of a cluster, and what it must know of the others."""

    cluster: str
    node: int
    port: int
    controller_ports: tuple[int, ...]
    heap: str

    @property
    def controller_port(self) -> int:
        return self.controller_ports[self.node - 1]

    @property
    def voters(self) -> str:
        ports = enumerate(self.controller_ports, 1)
        return ",".join(f"{node}@127.0.0.1:{port}" for node, port in ports)

    @property
    def replicas(self) -> int:
        return len(self.controller_ports)

    @property
    def in_sync(self) -> int:
        """Copies without which no write is taken: one node may be away."""
        return max(1, self.replicas - 1)


def new_members(count: int, *, heap: str) -> list[Member]:
    """Nodes of one new cluster; the heap is plenty for thousands of test records."""
    ports = free_ports(2 * count)
    # An id may begin with a dash, which only the --name=value form survives.
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    controllers = tuple(ports[count:])
    return [
        Member(cluster, node, ports[node - 1], controllers, heap) for node in range(1, count + 1)
    ]


@contextmanager
def kafka_server(folder: Path) -> Iterator[KafkaServer]:
    """A started broker with its data under folder; stopped at the end.

    Raises MissingComponentError without Java or Maven, ServerError when it does not come up.
    """
    server = KafkaServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class KafkaServer(ServerProcess):
    """One broker; after kill() or stop(), start() brings it back on the same port and data.

    With certificates it also listens at sasl_bootstrap, over TLS to USER with the password by
    SCRAM or PLAIN, and at mutual_tls_bootstrap to whoever has a certificate of our authority.
    """

    def __init__(
        self,
        folder: Path,
        *,
        member: Member | None = None,
        certificates: Certificates | None = None,
        password: str = "",
    ) -> None:
        self.member = member = member or new_members(1, heap="512m")[0]
        sasl_port, tls_port = free_ports(2)
        self.bootstrap = f"127.0.0.1:{member.port}"
        self.sasl_bootstrap = f"127.0.0.1:{sasl_port}"
        self.mutual_tls_bootstrap = f"127.0.0.1:{tls_port}"
        listeners = [f"PLAINTEXT://{self.bootstrap}"]
        secure = ""
        if certificates:
            listeners += [f"SASL_SSL://{self.sasl_bootstrap}", f"SSL://{self.mutual_tls_bootstrap}"]
            secure = SECURE_PROPERTIES.format(
                certificates=certificates, user=USER, password=password
            )
        java = ["java", f"-Xmx{member.heap}", *JVM, LOG_LEVEL, "-cp", kafka_classpath()]
        properties = folder / "server.properties"
        properties.write_text(
            PROPERTIES.format(
                listeners=",".join(listeners),
                member=member,
                data=folder / "data",
            )
            + secure
        )
        _format_storage(java, properties, member.cluster, password if certificates else "")
        super().__init__(
            [*java, "kafka.Kafka", str(properties)],
            log=folder / "kafka.log",
            start_deadline_s=START_DEADLINE_S,
        )

    def answers(self) -> bool:
        # A fresh client each time: an old one backs off longer after every refused connection.
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        try:
            return self.member.node in client.list_topics(timeout=PROBE_TIMEOUT_S).brokers
        except KafkaException:
            return False


def kafka_classpath() -> str:
    """Kafka's jars, fetched by Maven once and then read from .cache/kafka.

    Raises MissingComponentError without Java or Maven, ServerError when Maven fails.
    """
    if not shutil.which("java"):
        raise MissingComponentError(
            "needs Java 17 or newer to run Apache Kafka: install a JRE "
            "(Debian: default-jre-headless), or give a broker in BELLWETHER_TEST_KAFKA=host:port"
        )
    fingerprint = hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    listing = CACHE / f"classpath-{fingerprint}.txt"
    if listing.exists() and all(Path(jar).exists() for jar in _jars(listing)):
        return listing.read_text()
    if not shutil.which("mvn"):
        raise MissingComponentError(
            "needs Maven to fetch Apache Kafka once: install it (Debian: maven), "
            "or give a broker in BELLWETHER_TEST_KAFKA=host:port"
        )
    CACHE.mkdir(parents=True, exist_ok=True)
    fetched = CACHE / f"fetched-{os.getpid()}.txt"
    maven = ["mvn", "--batch-mode", "--quiet", "--file", str(POM)]
    goal = ["dependency:build-classpath", f"-Dmdep.outputFile={fetched}"]
    run = subprocess.run([*maven, *goal], capture_output=True, text=True, check=False)
    if run.returncode:
        raise ServerError(f"Maven could not fetch Apache Kafka:\n{run.stdout}{run.stderr}")
    # Renamed at the end, so that a second test run never reads half a listing.
    fetched.rename(listing)
    return listing.read_text()


def _jars(listing: Path) -> list[str]:
    return listing.read_text().split(os.pathsep)


def _format_storage(java: list[str], properties: Path, cluster: str, password: str) -> None:
    tool = [
        "kafka.tools.StorageTool",
        "format",
        f"--cluster-id={cluster}",
        "-c",
        str(properties),
    ]
    if password:
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            tool += ["--add-scram", f"{mechanism}=[name={USER},password={password}]"]
    run = subprocess.run([*java, *tool], capture_output=True, text=True, check=False)
    if run.returncode:
        raise ServerError(f"Kafka's storage could not be formatted:\n{run.stdout}{run.stderr}")
