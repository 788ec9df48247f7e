"""Faust's consumer thread: with a shorter poll, and a way back for all that is dropped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from aiokafka.consumer.fetcher import OffsetResetStrategy
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

FETCH_WAIT_MS = 50
# Every chunk costs some milliseconds of CPU time on its way, whatever it holds. So while records
# come often, brokers gather those of this long, unless there are so many bytes.
GATHER_MS = 20
GATHER_BYTES = 65_536


class PromptConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # untyped
    """Faust's consumer thread with a shorter long poll than the 1.5 s that Faust hard-codes.

    A broker answers a waiting fetch as soon as there is data, but only for the partitions that
    fetch names, and librdkafka's mock cluster answers no sooner than the wait is over.

    It reads what transactions have committed; Faust would do so only if it wrote in some itself.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # There is no setting for either.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001
        commit = partial(commit_what_is_there, coordinator._do_commit_offsets)  # noqa: SLF001
        coordinator._do_commit_offsets = commit  # noqa: SLF001

    async def seek_to_committed(self) -> dict[TP, int | None]:
        """As Faust has it, but a partition of which nothing is committed begins anew.

        What comes while the group forms is dropped, and Faust would read on behind it.
        """
        found: dict[TP, int | None] = await self.call_thread(self._seek_to_committed)
        return found

    async def _seek_to_committed(self) -> dict[TP, int | None]:
        consumer = self._ensure_consumer()
        subscription = consumer._subscription.subscription  # noqa: SLF001
        assignment = subscription and subscription.assignment
        if not assignment or not assignment.tps:
            return {}
        found = await consumer._coordinator.fetch_committed_offsets(list(assignment.tps))  # noqa: SLF001
        if not assignment.active:  # the next one begins where it is to
            return {}
        offsets = {tp: found[tp].offset if tp in found else None for tp in assignment.tps}
        for tp, offset in offsets.items():
            if offset is None:
                consumer._fetcher.request_offset_reset([tp], OffsetResetStrategy.EARLIEST)  # noqa: SLF001
            else:
                consumer._fetcher.seek_to(tp, offset)  # noqa: SLF001
        return offsets

    def gather(self, *, often: bool) -> None:
        """Let the brokers answer the next fetches with the first records, or gather them."""
        fetcher = self._ensure_consumer()._fetcher  # noqa: SLF001
        fetcher._fetch_min_bytes = GATHER_BYTES if often else 1  # noqa: SLF001
        fetcher._fetch_max_wait_ms = GATHER_MS if often else FETCH_WAIT_MS  # noqa: SLF001

    def reach(self, tp: TP) -> tuple[int | None, int | None]:
        """Where the next fetch of a partition begins, and where what it may read ends.

        As its last fetch saw it. Asking the brokers instead would block two of this thread's
        workers for as long as they are away, and Faust can't stop then.
        """
        subscription = self._ensure_consumer()._subscription.subscription  # noqa: SLF001
        assignment = subscription and subscription.assignment
        state = assignment and assignment.state_value(tp)
        # Not its property position, which asserts that there is one: another thread may take it.
        return (state._position, state.lso) if state else (None, None)  # noqa: SLF001

    def refusal(self) -> Exception | None:
        """Why the group does not take this consumer, which aiokafka tells only one that fetches."""
        coordinator = self._consumer and self._consumer._coordinator  # noqa: SLF001
        error: Exception | None = coordinator and coordinator._pending_exception  # noqa: SLF001
        return error


async def commit_what_is_there(
    commit: Callable[[Any, Mapping[TopicPartition, OffsetAndMetadata]], Awaitable[None]],
    assignment: Any,
    offsets: Mapping[TopicPartition, OffsetAndMetadata],
) -> None:
    """Commit, but for topics that have been deleted since.

    aiokafka would try those again until they are made anew, and give them offsets of what they
    were before; meanwhile all other commits wait, and with them the next rebalance.
    """
    try:
        await commit(assignment, offsets)
    except UnknownTopicOrPartitionError:
        for topic in {tp.topic for tp in offsets}:
            of_topic = {tp: offset for tp, offset in offsets.items() if tp.topic == topic}
            with suppress(UnknownTopicOrPartitionError):
                await commit(assignment, of_topic)
