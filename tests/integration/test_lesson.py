"""The demo's lesson: the real trainer, the shipped model, the embedded parts."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import orjson
import pytest

from models.predictor import load_predictor
from stream.commands.options import RegistryChampions
from stream.commands.services import verdicts
from stream.demo.lesson import Parts
from stream.demo.play import Plan, run_demo
from stream.settings import load_settings


@pytest.mark.timeout(600)
async def test_the_demo_teaches_its_live_model_and_refuses_bad_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = tmp_path / "feed.jsonl"
    feed.write_bytes(orjson.dumps({"source": "news", "text": "Profit rises at the ferry line"}))
    predictor = await asyncio.to_thread(load_predictor)
    summary = await run_demo(
        load_settings(None),
        predictor,
        Plan(inputs=[feed]),
        asyncio.Event(),
        None,
        Parts(RegistryChampions, verdicts),
    )
    story = capsys.readouterr().err
    assert (summary.published, summary.scored, summary.dead_letters) == (82, 82, 0), story
    assert summary.model != predictor.version
    assert f"{summary.model} has taken over from {predictor.version}" in story
    assert "81 of 81 tickets were scored exactly once" in story
    before, after = map(int, re.findall(r"; (\d+) of 40 are billing_fees", story))
    assert before < 12
    assert after > 32
    assert "labels for topic by mallory contradict" in story
    assert f"the champion is {summary.model}" in story
