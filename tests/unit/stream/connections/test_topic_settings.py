"""What doctor says of topics that somebody else made."""

from __future__ import annotations

from stream.config.settings import load_settings
from stream.connections.topic_settings import unfit
from stream.connections.topics import wanted_topics

WANTED = wanted_topics(load_settings(None))
ROOMY = {"max.message.bytes": "8388608", "segment.bytes": "1073741824"}


def faults(topic: str, **has: str) -> list[str]:
    return list(
        unfit({topic: {name.replace("_", "."): value for name, value in has.items()}}, WANTED)
    )


def test_topics_as_we_make_them_are_fit() -> None:
    assert list(unfit({topic: {**ROOMY, **has} for topic, has in WANTED.items()}, WANTED)) == []


def test_of_a_topic_that_we_may_not_ask_about_nothing_is_said() -> None:
    assert list(unfit({"bellwether.scored": {}}, WANTED)) == []


def test_one_that_takes_too_little_is_named_with_what_it_needs() -> None:
    (said,) = faults("bellwether.scored", max_message_bytes="1048588", segment_bytes="1073741824")
    assert said.startswith("bellwether.scored has max.message.bytes 1048588")
    assert said.endswith("set 8388608")
    (said,) = faults("bellwether.scored", max_message_bytes="8388608", segment_bytes="1048576")
    assert said.startswith("bellwether.scored has segment.bytes 1048576")


def test_one_that_forgets_what_is_kept_by_key_or_keeps_by_key_what_is_not_is_named() -> None:
    (said,) = faults("bellwether.models", cleanup_policy="delete")
    assert said.endswith("set compact")
    (said,) = faults("bellwether.dead-letter", cleanup_policy="compact")
    assert "takes none without" in said
    assert faults("bellwether.ledger", cleanup_policy="compact") == []
