"""How topics are set, where we may know it, and what of it would trouble a worker."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion

LARGEST = "max.message.bytes"
SEGMENT = "segment.bytes"
CLEANUP = "cleanup.policy"
COMPACT = "compact"

TopicSettings = Mapping[str, Mapping[str, str]]
"""By topic, values by their names."""


async def topic_settings(
    admin: AIOKafkaAdminClient, topics: Collection[str], names: Collection[str]
) -> TopicSettings:
    """Those settings of those topics; of one that we have no right to ask about, none."""
    asked = [
        ConfigResource(ConfigResourceType.TOPIC, topic, dict.fromkeys(names, ""))
        for topic in topics
    ]
    try:
        answers = await admin.describe_configs(asked)
    except IncompatibleBrokerVersion:  # the demo's embedded broker has no such question
        return {}
    return {
        topic["resource_name"]: {
            entry["config_names"]: entry["config_value"]
            for entry in topic["config_entries"]
            if entry["config_names"] in names
        }
        for answer in answers
        for topic in answer.to_object()["resources"]
    }


def unfit(found: TopicSettings, wanted: TopicSettings) -> Iterator[str]:
    """What is set otherwise than we would have it, a sentence for each topic and setting."""
    for topic, needs in wanted.items():
        has = found.get(topic, {})
        least = needs.get(LARGEST, "0")
        for name in (LARGEST, SEGMENT):
            if int(has.get(name, least)) < int(least):
                yield f"{topic} has {name} {has[name]}: more ends a worker; set {least}"
        policy, needed = has.get(CLEANUP, ""), needs.get(CLEANUP, "delete")
        if policy and (COMPACT in policy) != (COMPACT in needed):
            lost = (
                "loses all but the last record of a key and takes none without one"
                if COMPACT in policy
                else "forgets by age what is to be kept by key"
            )
            yield f"{topic} has {CLEANUP} {policy}, so it {lost}; set {needed}"
