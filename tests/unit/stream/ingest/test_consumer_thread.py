"""What a consumer does about topics that are gone, and about a group that forms anew meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import NotCoordinatorForGroupError, UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata

from stream.ingest.consumer_thread import PromptConsumerThread, commit_what_is_there

NEWS, GONE = TopicPartition("news", 0), TopicPartition("gone", 0)
OFFSETS = {GONE: OffsetAndMetadata(7, ""), NEWS: OffsetAndMetadata(5, "")}


class Group:
    """A coordinator that knows one topic, and answers for every partition before it complains."""

    def __init__(self, trouble: type[Exception] | None = None) -> None:
        self.committed: dict[TopicPartition, int] = {}
        self._trouble = trouble

    async def commit(self, _: Any, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        if self._trouble:
            raise self._trouble
        self.committed |= {tp: one.offset for tp, one in offsets.items() if tp.topic == "news"}
        if GONE in offsets:
            raise UnknownTopicOrPartitionError


async def test_a_topic_that_is_gone_is_let_go_and_the_others_are_committed() -> None:
    group = Group()
    await commit_what_is_there(group.commit, None, OFFSETS)
    assert group.committed == {NEWS: 5}


async def test_whatever_else_is_wrong_with_a_commit_is_told() -> None:
    with pytest.raises(NotCoordinatorForGroupError):
        await commit_what_is_there(Group(NotCoordinatorForGroupError).commit, None, OFFSETS)


async def test_a_group_that_forms_anew_meanwhile_is_not_sent_back_to_offsets_of_before() -> None:
    state = SubscriptionState()
    state.subscribe({"news"})
    state.assign_from_subscribed({NEWS})

    async def fetch(_: Any) -> dict[TopicPartition, OffsetAndMetadata]:
        state.assign_from_subscribed(set())
        return {NEWS: OffsetAndMetadata(5, "")}

    # Whoever asks it to seek finds that there is nothing.
    thread: Any = object.__new__(PromptConsumerThread)
    thread._consumer = SimpleNamespace(
        _subscription=state, _coordinator=SimpleNamespace(fetch_committed_offsets=fetch)
    )
    assert await thread._seek_to_committed() == {}
    assert await thread._seek_to_committed() == {}, "nor without any partition"
