"""doctor reports whatever is wrong and ends for none of it."""

from __future__ import annotations

import pytest

from models.stub import StubPredictor
from stream.connection_settings import Kafka, Redis
from stream.operations.doctor import examine
from stream.settings import Fields, Limits, Settings, SettingsError, Source

NOWHERE = {"kafka": Kafka(bootstrap="127.0.0.1:1"), "redis": Redis(url="redis://127.0.0.1:1/0")}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"sources": [Source(topic="t", kind="news", fields=Fields(id="a.[", text="b"))]},
            "fields.id",
        ),
        ({"limits": Limits(oldest_time="long ago")}, "limits.oldest_time"),
    ],
)
async def test_sources_that_cannot_be_read_are_a_failed_check(
    changes: dict[str, object], named: str
) -> None:
    checks = {one.name: one for one in await examine(settings(**changes), StubPredictor)}
    assert checks["sources"].status == "failed"
    assert named in checks["sources"].detail
    assert checks["model"].status == "ok"


async def test_a_setting_that_keeps_the_model_from_loading_is_a_failed_check() -> None:
    def load() -> StubPredictor:
        raise SettingsError("setting model.registry: is not set")

    checks = {one.name: one for one in await examine(settings(), load)}
    assert (checks["model"].status, checks["model"].detail) == (
        "failed",
        "setting model.registry: is not set",
    )


def settings(**changes: object) -> Settings:
    return Settings().model_copy(update=NOWHERE | changes)
