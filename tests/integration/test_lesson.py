"""The demo's lesson: the real trainer, the shipped model, the embedded parts."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import orjson
import pytest

from models.predictor import load_predictor
from stream.commands.demo import lesson_parts
from stream.config.settings import load_settings
from stream.demo.play import Plan, run_demo


@pytest.mark.timeout(600)
async def test_the_demo_teaches_its_live_model_refuses_bad_labels_and_takes_a_bad_version_back(
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
        lesson_parts(),
    )
    story = capsys.readouterr().err
    assert (summary.published, summary.scored, summary.dead_letters) == (82, 82, 0), story
    assert summary.model != predictor.version
    assert f"{summary.model} has taken over from {predictor.version}" in story
    assert "81 of 81 tickets were scored exactly once" in story
    before, after = map(int, re.findall(r"; (\d+) of 40 are cards", story))
    assert before < 12
    assert after > 32
    assert "labels for topic by mallory contradict" in story
    (bad,) = re.findall(r"eve makes (\S+) champion", story)
    assert f"taken back from {bad}: worse on " in story
    assert f"the champion is {summary.model}" in story
