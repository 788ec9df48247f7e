"""A worker's ledger, as the command tells it: models and rules, and what the rules said."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.stub import StubPredictor
from stream.commands.ledger import ledger
from stream.config.settings import Settings
from stream.runtime import watched_file
from stream.worker.app import Worker
from tests.integration.test_hot_swap import Shelf, announce, serves
from tests.integration.traffic import DEADLINE_S
from tests.until import until

RULES = """# {remark}
[[rule]]
name = "bad"
when = 'sentiment.label == "negative"'
subject = "ticker"
severity = "warning"
title = "t"
"""


async def asked(settings: Settings, *arguments: str) -> dict[str, Any]:
    def run() -> dict[str, Any]:
        done = CliRunner().invoke(ledger, [*arguments, "--json"], obj=settings)
        assert done.exit_code == 0, done.output
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    return await asyncio.to_thread(run)


async def test_the_ledger_tells_what_a_worker_judged_by_and_when(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_file, "LOOK_EVERY_S", 0.02)
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES.format(remark="the first"))
    alerting = settings.alerting.model_copy(update={"rules": rules})
    settings = settings.model_copy(update={"alerting": alerting})
    shelf = Shelf()
    worker = Worker(settings, StubPredictor(version="stub-0"), shelf)
    await worker.start()
    try:
        # In one step: a look in mid-writing would find rules of its own.
        following = tmp_path / "following.toml"
        following.write_text(RULES.format(remark="the second, and longer"))
        following.replace(rules)
        former = worker.pipeline.rules
        await until(lambda: worker.pipeline.rules is not former, DEADLINE_S)
        shelf.champion = "stub-1"
        await announce(settings)
        await serves(worker, "stub-1")
        (now,) = (await asked(settings))["in_force"]
        assert (now["model"], now["begin"], now["until"]) == ("stub-1", "model", None)
        assert now["runs_on"].startswith("stub-1: ")
        said = await asked(settings, "--rules", now["rules"])
        assert said["text"] == rules.read_text()
    finally:
        assert await worker.stop()
    spans = (await asked(settings, "--since", "1h"))["in_force"]
    assert [(one["begin"], one["model"], one["end"]) for one in spans] == [
        ("start", "stub-0", "rules"),
        ("rules", "stub-0", "model"),
        ("model", "stub-1", "stopped"),
    ]
    assert all(one["until"] == following["since"] for one, following in pairwise(spans))
    assert spans[0]["rules"] != spans[1]["rules"] == spans[2]["rules"]
    first = await asked(settings, "--at", spans[0]["since"])
    assert first["in_force"] == spans[:1]
    assert (await asked(settings))["in_force"] == []
    before = (datetime.fromisoformat(spans[0]["since"]) - timedelta(seconds=1)).isoformat()
    done = await asyncio.to_thread(
        CliRunner().invoke, ledger, ["--at", before, "--json"], obj=settings
    )
    assert done.exit_code == 1
    assert json.loads(done.stdout)["complete_since"] == spans[0]["since"]
    assert "not all that was in force at" in done.stderr
