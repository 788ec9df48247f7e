"""chunks.py and consumer_thread.py override private parts of Faust; these tests fail when one of
them changes.
"""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import aiokafka
import faust
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from pydantic import ValidationError

from stream.config.connections import Kafka
from stream.config.settings import Settings
from stream.connections.clients import kafka_arguments
from stream.ingest.chunks import faust_app

READ_AND_UNDERSTOOD = {
    "getmany": "4b168d84882a70d6",
    "_wait_next_records": "6218e1969a636b3f",
    "_drain_messages": "44a2500309e83c63",
    "ack": "5fcf41cf45153475",
    "_new_offset": "1d2c7ea89a7ad4f1",
    "_add_gap": "4df2573ded7c1c2c",
    "_commit_tps": "a20e230b05ae8b15",
    "_filter_committable_offsets": "dc5e9baf5d994485",
    "wait_empty": "e4662fe24f094819",
    "perform_seek": "0e8c130ff4b0afd8",
    "on_partitions_revoked": "d04b7ae72c6fc206",
}


def source_hash(method: object) -> str:
    return hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:16]  # type: ignore[arg-type]


def test_the_version_is_the_one_chunks_was_written_for() -> None:
    assert faust.__version__ == "0.15.3"


@pytest.mark.parametrize("name", READ_AND_UNDERSTOOD)
def test_a_method_that_chunks_replaces_or_calls_is_unchanged(name: str) -> None:
    assert source_hash(getattr(Consumer, name)) == READ_AND_UNDERSTOOD[name], (
        f"faust's Consumer.{name} has changed: read it, adapt chunks.py, then the hash"
    )


def test_the_long_poll_and_what_is_read_are_still_set_where_chunks_sets_them() -> None:
    parameters = inspect.signature(aiokafka.AIOKafkaConsumer).parameters
    create = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    start = inspect.getsource(aiokafka.AIOKafkaConsumer.start)
    for name in ("fetch_max_wait_ms", "isolation_level"):
        assert name in parameters
        assert f"{name}=self._{name}" in start
    assert "fetch_max_wait_ms=1500" in create
    assert 'isolation_level: str = "read_uncommitted"' in create


def test_what_a_fetch_waits_for_is_still_read_anew_for_each() -> None:
    builds = inspect.getsource(Fetcher._get_actions_per_node)
    for name in ("_fetch_max_wait_ms", "_fetch_min_bytes"):
        assert f"self.{name}," in builds
    assert "self._fetcher = Fetcher(" in inspect.getsource(aiokafka.AIOKafkaConsumer)


@pytest.mark.parametrize("session_timeout_s", [6.0, 90.0])
def test_a_session_of_any_length_that_settings_allow_is_one_that_faust_takes(
    session_timeout_s: float, tmp_path: Path
) -> None:
    settings = Settings(kafka=Kafka(session_timeout_s=session_timeout_s))
    app = faust_app(settings, kafka_arguments(settings.kafka), str(tmp_path))
    assert app.conf.broker_session_timeout <= app.conf.broker_request_timeout
    with pytest.raises(ValidationError):
        Kafka(session_timeout_s=max(session_timeout_s, app.conf.broker_request_timeout) + 1)


async def test_a_consumer_still_goes_back_where_the_thread_sends_it() -> None:
    thread = inspect.getsource(driver.AIOKafkaConsumerThread.seek_to_committed)
    assert "self.call_thread(self._ensure_consumer().seek_to_committed)" in thread
    assert source_hash(aiokafka.AIOKafkaConsumer.seek_to_committed) == "f6cd85c8b70a4ccf"
    assert "self._fetcher = Fetcher" in inspect.getsource(aiokafka.AIOKafkaConsumer)
    for name, parameters in (
        ("seek_to", ["self", "tp", "offset"]),
        ("request_offset_reset", ["self", "tps", "strategy"]),
    ):
        assert list(inspect.signature(getattr(Fetcher, name)).parameters) == parameters
    fetch = inspect.signature(GroupCoordinator.fetch_committed_offsets)
    assert list(fetch.parameters) == ["self", "partitions"]


def test_a_commit_still_goes_where_the_thread_lets_go_of_topics_that_are_gone() -> None:
    assert source_hash(GroupCoordinator.commit_offsets) == "5cbe31af28d6cc06"
    assert source_hash(GroupCoordinator._do_commit_offsets) == "c3a3ea5613f39cac"
    assert "self._consumer = self._create_consumer" in inspect.getsource(
        driver.AIOKafkaConsumerThread.on_start
    )


def test_what_retention_has_taken_is_still_told_at_the_level_that_is_shown() -> None:
    fetches = inspect.getsource(Fetcher)
    assert '"Fetch offset %s is out of range for partition %s,"' in fetches
    assert fetches.count("log.info(") == 1


async def test_lags_can_still_be_read_without_asking_the_brokers() -> None:
    assert "self._committed_offset.update" in inspect.getsource(Consumer)
    assert "self._subscription = SubscriptionState" in inspect.getsource(aiokafka.AIOKafkaConsumer)
    assignment = Assignment([TopicPartition("news", 0)])
    state = assignment.state_value(TopicPartition("news", 0))
    assert (state._position, state.lso) == (None, None)
    state.seek(7)
    assert state._position == state.position == 7
    assert "tp_state.lso = lso" in inspect.getsource(Fetcher)


def test_why_a_group_refuses_is_still_kept_where_chunks_looks_for_it() -> None:
    pushes = inspect.getsource(GroupCoordinator._push_error_to_user)
    assert "self._pending_exception = exc" in pushes
    assert "self._coordinator = GroupCoordinator" in inspect.getsource(aiokafka.AIOKafkaConsumer)


def test_the_driver_still_takes_its_consumer_from_a_class_attribute() -> None:
    assert driver.Transport.Consumer is driver.Consumer
    assert issubclass(driver.Consumer, Consumer)
