"""From events to a pager: one notification for a burst, reasons for what is hidden, and a kill -9.

Real processes, real Kafka, real Redis, the shipped model, and a webhook that this test answers.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis

from tests.acceptance.deployment import DEADLINE_S, POLL_S, STUB_WORKER, Deployment, values

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(600)]

BURST = 500
CHILDREN = 5
SILENCED = 3
GROUP_WAIT_S = 20
REPEAT_S = 5

RULES = "".join(
    f"""
    [[rule]]
    name = "{name}"
    sources = ["social"]
    when = 'event.attributes.part == "{name}"'
    subject = "event"
    severity = "{severity}"
    title = "{name}"
    """
    for name, severity in (
        ("burst", "warning"),
        ("parent", "critical"),
        ("child", "warning"),
        ("planned", "warning"),
    )
)

ROUTES = """
[route]
receiver = "hook"
group_by = ["rule"]
group_wait = "{wait}s"
group_interval = "5s"
repeat_interval = "{repeat}s"

[[inhibit_rules]]
source_matchers = ["rule=parent"]
target_matchers = ["rule=child"]

[[receivers]]
name = "hook"
type = "webhook"
url = "{url}"
allow_internal = true
timeout = "60s"
"""


class Hook(ThreadingHTTPServer):
    """Keeps what it is sent; while closed it takes the body and answers nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.open = threading.Event()
        self.got: list[dict[str, Any]] = []

    def distinct(self) -> dict[str, list[dict[str, Any]]]:
        """Notifications by the rule of their group, each id once."""
        found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for body in list(self.got):
            found[body["group_labels"]["rule"]][body["id"]] = body
        return {rule: list(bodies.values()) for rule, bodies in found.items()}


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
        self.server.open.wait(60)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.open.set()
        server.shutdown()
        thread.join()


async def until(condition: Callable[[], bool], deployment: Deployment) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, deployment.tail()
        await asyncio.sleep(POLL_S)


async def test_a_burst_is_one_notification_through_a_kill_and_the_hidden_stay_hidden(
    kafka: str, redis_url: str, tmp_path: Path, hook: Hook
) -> None:
    rules, routes = tmp_path / "rules.toml", tmp_path / "routes.toml"
    rules.write_text(RULES)
    url = f"http://127.0.0.1:{hook.server_port}/"
    routes.write_text(ROUTES.format(wait=GROUP_WAIT_S, repeat=REPEAT_S, url=url))
    alerting = f'[alerting]\nrules = "{rules}"\nroutes = "{routes}"\n'
    deployment = Deployment(kafka, redis_url, tmp_path, alerting, worker=STUB_WORKER)
    parts = {"burst": BURST, "parent": 1, "child": CHILDREN, "planned": SILENCED}
    try:
        worker = deployment.start_worker()
        await deployment.ready()
        silence = ["--matcher", "rule=planned", "--for", "10m", "--author", "ann"]
        deployment.command("alerts", "silence", *silence, "--comment", "planned work")
        await deployment.publish(
            (
                "social",
                None,
                orjson.dumps({"id": f"{part}-{n}", "text": "all is well here", "part": part}),
            )
            for part, count in parts.items()
            for n in range(count)
        )
        # The webhook has the burst and has not answered: the worker dies with it under way.
        await until(lambda: "burst" in hook.distinct(), deployment)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        hook.open.set()
        deployment.start_worker()
        await until(lambda: len(hook.distinct()["burst"]) > 1, deployment)
        told = hook.distinct()

        first, again = told["burst"][:2]
        assert (first["reason"], first["firing"], first["truncated"]) == ("new", BURST, 400)
        assert (again["reason"], again["firing"]) == ("repeat", BURST)
        assert [body["firing"] for body in told["parent"][:1]] == [1]
        assert told.keys() == {"burst", "parent"}
        # Sent again after the kill, by its id.
        assert [body["id"] for body in hook.got].count(first["id"]) == 2

        (parent,) = _alerts(deployment, "parent")
        children = _alerts(deployment, "child")
        assert len(children) == CHILDREN
        shown = deployment.command("alerts", "show", children[0]["id"], "--json")
        assert orjson.loads(shown.stdout)["hidden"] == f"inhibited by alert {parent['id']}"

        listed = deployment.command("alerts", "silences", "--json")
        assert [one["hidden"] for one in orjson.loads(listed.stdout)["silences"]] == [SILENCED]

        deployment.command("alerts", "ack", parent["id"], "--author", "ann", "--comment", "mine")
        transitions = values(
            await deployment.read(
                "alerts",
                lambda found: any(one["state"] == "acknowledged" for one in values(found)),
            )
        )
        silenced = [one["id"] for one in transitions if one["state"] == "silenced"]
        assert len(set(silenced)) == SILENCED
        assert len({one["id"] for one in transitions}) == sum(parts.values())
        exported = deployment.command("alerts", "export", "--since", "1h", "--rule", "parent")
        (found,) = orjson.loads(exported.stdout)["alerts"]
        assert (found["state"], found["handling"]["comment"]) == ("acknowledged", "mine")

        with Redis.from_url(redis_url) as client:
            figures = client.hgetall(f"{deployment.name}:notify:receiver:hook")
        assert int(figures[b"sent"]) >= 3
        assert b"failed" not in figures
    finally:
        deployment.close()


def _alerts(deployment: Deployment, rule: str) -> list[dict[str, Any]]:
    listed = deployment.command("alerts", "list", "--rule", rule, "--json")
    found: list[dict[str, Any]] = orjson.loads(listed.stdout)["alerts"]
    return found
