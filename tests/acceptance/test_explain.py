"""An alert of a running worker is explained, its copies counted, and its decision repeated."""

from __future__ import annotations

import signal
from pathlib import Path

import orjson
import pytest

from tests.acceptance.deployment import DEADLINE_S, Deployment, values

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(600)]

TEXT = (
    "Bank of America shares plunge after regulators open a fraud investigation into 14 mortgage "
    "funds and the bank warns of heavy losses"
)


async def test_an_alert_is_explained_and_its_replay_matches(
    kafka: str, redis_url: str, tmp_path: Path
) -> None:
    deployment = Deployment(kafka, redis_url, tmp_path)
    try:
        worker = deployment.start_worker()
        await deployment.ready()
        texts = {"first": TEXT, "copy": f"UPDATE: {TEXT}", "again": f"{TEXT} https://x.example"}
        # The same partition, so that the first comes first.
        await deployment.publish(
            ("news", b"k", orjson.dumps({"id": name, "text": text, "time": 1_780_000_000}))
            for name, text in texts.items()
        )
        scored = values(await deployment.read("scored", lambda records: len(records) >= 3))
        assert [(one["id"], one["copy_of"]) for one in scored] == [
            ("first", ""),
            ("copy", "first"),
            ("again", "first"),
        ]
        assert [(one["kind"], one["id"]) for one in scored[0]["subjects"]][:2] == [
            ("ticker", "BAC"),
            ("sector", "financials"),
        ]
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(DEADLINE_S) == 0, deployment.tail()
        alerts = values(await deployment.read("alerts", lambda records: len(records) > 0))
        raised = next(one for one in alerts if one["rule"] == "negative-news-on-ticker")
        assert (raised["subject"], raised["count"]) == ("ticker:BAC", 1)

        run = deployment.command("explain", raised["id"], "--replay", "--json", "--examples", "1")
        explained = orjson.loads(run.stdout)
        assert explained["replay"]["matches"], explained["replay"]
        assert [one["read_from"] for one in explained["replay"]["events"]] == ["log"]
        assert explained["rule"]["name"] == "negative-news-on-ticker"
        (event,) = explained["events"]
        assert event["copies"] == 2
        sentiment = event["explained"]["heads"]["sentiment"]
        attribution = sentiment["attribution"]
        total = sum(word["weight"] for word in attribution["words"])
        span = attribution["log_odds"] - attribution["baseline"]
        assert abs(total - span) <= attribution["error"] + 1e-3
        assert sentiment["nearest"][0]["label"] in {"negative", "neutral", "positive"}

        gone = deployment.command("explain", "none-1", check=False)
        assert gone.returncode == 1
        assert "alert 'none-1' is not in Redis" in gone.stderr
    finally:
        deployment.close()
