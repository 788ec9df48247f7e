"""Fixtures for a real Kafka and Redis and for the embedded ones, and the rule about skips."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from confluent_kafka.admin import AdminClient

from stream.terminal.logs import CHATTY, TELLING
from tests.kafka_cluster import KafkaCluster, kafka_cluster
from tests.kafka_server import KafkaServer, kafka_server
from tests.redis_server import RedisServer
from tests.redis_server import redis_server as started_redis
from tests.server_process import MissingComponentError

ADMIN_TIMEOUT_S = 20.0

Server = TypeVar("Server")


@dataclass(frozen=True)
class Stack:
    """A broker and an empty Redis for one test, with a name of its own for topics and groups."""

    kind: str
    bootstrap: str
    redis_url: str
    name: str

    @property
    def prefix(self) -> str:
        """For kafka.prefix; topic() names never begin with it."""
        return f"{self.name}."

    def topic(self, name: str) -> str:
        return f"{self.name}-{name}"


@pytest.fixture(autouse=True)
def _logging_stays() -> Iterator[None]:
    """A command sets up the logging of its process; the next test must not find it so."""
    loggers = [logging.getLogger(name) for name in ("root", *CHATTY, TELLING)]
    levels = [logger.level for logger in loggers]
    handlers = [*logging.root.handlers]
    yield
    for handler in {*logging.root.handlers}.difference(handlers):
        logging.root.removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of an Apache Kafka that the whole run shares."""
    if given := os.environ.get("BELLWETHER_TEST_KAFKA"):
        yield given
        return
    with _or_skip(kafka_server(tmp_path_factory.mktemp("kafka"))) as server:
        yield server.bootstrap


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaServer]:
    """An Apache Kafka for a test that kills or restarts it."""
    folder = tmp_path / "kafka"
    folder.mkdir()
    with _or_skip(kafka_server(folder)) as server:
        yield server


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[KafkaCluster]:
    """Three brokers for a test that kills them."""
    with _or_skip(kafka_cluster(tmp_path)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A redis-server that the whole run shares; tests reach it by redis_url."""
    with _or_skip(started_redis(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis-server for a test that kills or restarts it; it keeps its writes."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with _or_skip(started_redis(folder, durable=True)) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Address of an empty database on a real redis-server."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("real", marks=[pytest.mark.kafka, pytest.mark.redis]),
    ]
)
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Broker and Redis, once the embedded ones and once the real ones: a test holds on both."""
    short = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.lower())[:60].strip("-")
    name = f"{short}-{uuid.uuid4().hex[:8]}"
    if request.param == "embedded":
        # Imported here so that tests of the real servers run without the demo's parts.
        from stream.demo.embedded import EmbeddedBroker, EmbeddedRedis  # noqa: PLC0415

        with EmbeddedBroker() as broker, EmbeddedRedis() as redis:
            yield Stack("embedded", broker.bootstrap, redis.url, name)
        return
    bootstrap = request.getfixturevalue("kafka")
    yield Stack("real", bootstrap, request.getfixturevalue("redis_url"), name)
    _delete_topics(bootstrap, name)


def _delete_topics(bootstrap: str, begin: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    ours = [topic for topic in admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics if begin in topic]
    if ours:
        for done in admin.delete_topics(ours, operation_timeout=ADMIN_TIMEOUT_S).values():
            done.result()


@contextmanager
def _or_skip(server: AbstractContextManager[Server]) -> Iterator[Server]:
    """The server as it runs; where a part of it is missing, the test is skipped and says which."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(server)
        except MissingComponentError as missing:
            pytest.skip(str(missing))
        yield running


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a skip is a failure: what is missing there must be installed.

    Only tests marked cuda may skip, since a GPU cannot be installed.
    """
    report = yield
    expected_failure = hasattr(report, "wasxfail")
    if report.skipped and _in_ci() and not expected_failure and "cuda" not in item.keywords:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {call.excinfo.value}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """The same for a whole file that skips itself while it is imported."""
    report = yield
    if report.outcome == "skipped" and _in_ci():
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr[2]}"
    return report


def pytest_configure(config):
    config.addinivalue_line("markers", "cuda: needs an NVIDIA GPU; the only tests CI may skip")
