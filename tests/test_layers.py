"""The layers of the system as tables of imports: what each module may use, and who may use what."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "stream", "trainer")
WIRE = ("faust", "mode", "aiokafka", "confluent_kafka", "redis")
TORCH = ("torch", "transformers", "peft")
TORCH_USERS = (
    "models.cores",
    "models.encoder",
    "models.encoder_files",
    "models.explain",
    "models.nearest",
    "models.heads",
    "models.packed",
    "models.int8",
    "models.int8_ranges",
    "models.packed_int8",
    "models.forward_paths",
    "models.predictor",
    "models.attention",
    "models.attention_products",
    "models.attention_rows",
    "models.checkpoint",
    "trainer.base.*",
    "trainer.fitting.*",
    "trainer.labels.active_learning",
    "trainer.labels.label_queue",
    "trainer.promotion.challenge",
    "trainer.promotion.champion",
    "trainer.promotion.compare",
    "trainer.promotion.contender",
    "trainer.promotion.contest",
    "trainer.promotion.suspects",
    "trainer.promotion.vector_cache",
    "trainer.prune",
    "trainer.service",
)
LEAVES = (
    "models.spec",
    "stream.names",
    "stream.records",
    "stream.ingest.dead_letter",
    "stream.config.settings",
    "stream.config.connections",
    "stream.config.subjects",
    "stream.config.signals",
    "stream.config.queues",
    "stream.config.toml_text",
)
PURE = (
    "stream.ingest.sources",
    "stream.ingest.fields",
    "stream.backtesting.rehearsal",
    "stream.ingest.event_time",
    "stream.ingest.language",
    "stream.ingest.mapping",
    "stream.ingest.attributes",
    "stream.ingest.text",
    "stream.ingest.markup",
    "stream.subjects.companies",
    "stream.subjects.mentions",
    "stream.subjects.tags",
    "stream.subjects.novelty",
    "stream.subjects.copies_in_memory",
    "stream.explain.explanation",
    "stream.explain.heads_used",
    "stream.explain.rounding",
    "stream.subjects.finder",
    "stream.config.durations",
    "stream.config.spelling",
    "stream.processing.in_order",
    "stream.signals.windows",
    "stream.signals.figures",
    "stream.rules.costly_conditions",
    "stream.rules.constant_comparisons",
    "stream.rules.rule_error",
    "stream.rules.variables",
    "stream.rules.necessary",
    "stream.rules.operands",
    "stream.rules.question",
    "stream.rules.plan",
    "stream.rules.compiled",
    "stream.rules.conditions",
    "stream.rules.rule_file",
    "stream.rules.templates",
    "stream.alerts.matchers",
    "stream.alerts.silences",
    "stream.alerts.alert_search",
    "stream.notify.time_intervals",
    "stream.notify.inhibition",
    "stream.notify.routing",
    "stream.notify.route_file",
    "stream.notify.notification",
    "stream.notify.group",
    "stream.notify.news",
    "stream.notify.grouping",
    "stream.rules.rule_set",
    "stream.alerts.episodes",
    "stream.signals.memory",
    "stream.signals.packed",
    "stream.backtesting.backtest",
    "stream.backtesting.sweep",
    "stream.alerts.evidence",
    "stream.alerts.identity",
    "stream.ingest.readable",
    "stream.console.highlight",
    "stream.console.markets",
    "stream.console.alert_rows",
    "stream.console.settings_view",
    "stream.console.label_queue",
    "stream.console.review",
    "stream.processing.tickets",
    "stream.serving.refusal",
)

# What lies in stream/; each may import from those before it.
STREAM = (
    "names",
    "records",
    "config",
    "runtime",
    "ingest",
    "connections",
    "terminal",
    "signals",
    "subjects",
    "rules",
    "alerts",
    "notify",
    "sinks",
    "processing",
    "serving",
    "files",
    "backtesting",
    "explain",
    "operations",
    "console",
    "worker",
    "demo",
    "commands",
    "cli",
)

# Of our own modules, the first may import the second and nothing else.
OURS_ALLOWED = {
    "models.spec": (),
    "stream.names": (),
    "stream.records": ("models.spec", "stream.names"),
    "stream.ingest.dead_letter": ("stream.records",),
    "stream.config.settings": (
        "stream.names",
        "stream.config.connections",
        "stream.config.signals",
        "stream.config.subjects",
        "stream.config.queues",
        "stream.config.faults",
        "stream.config.spelling",
        "stream.config.toml_text",
    ),
    "stream.config.faults": ("stream.config.spelling",),
    "stream.config.subjects": ("stream.config.connections", "stream.names"),
    "stream.config.signals": ("stream.config.connections",),
    "stream.config.queues": ("stream.config.connections", "stream.names"),
    "stream.config.connections": (),
    "stream.config.toml_text": (),
    **dict.fromkeys(PURE, (*LEAVES, *PURE)),
    "stream.explain.explanation": (*LEAVES, *PURE, "models.explanation"),
    "trainer.promotion.gate": LEAVES,
    "stream.sinks.payloads": (*LEAVES, *PURE),
    "models.*": ("models.*",),
    "trainer.*": (
        "models.*",
        "trainer.*",
        "stream.records",
        "stream.ingest.dead_letter",
        "stream.ingest.text",
        "stream.names",
    ),
}

# The first may never import the second, whoever wrote it.
FORBIDDEN = {
    "models.*": WIRE,
    "models.batcher": ("asyncio",),
    "models.predictor": ("asyncio",),
    **dict.fromkeys(PURE, (*WIRE, "os", "time", "random")),
    "trainer.promotion.gate": (*WIRE, "os", "time", "random"),
    # These see their sinks, store and batcher as Protocols; app.py chooses.
    "stream.processing.agents": (
        "models.batcher",
        "stream.connections.outbox",
        "stream.alerts.store",
        "stream.sinks.*",
        "redis",
    ),
    "stream.notify.notifier": (
        "models.batcher",
        "stream.connections.outbox",
        "stream.alerts.store",
        "stream.sinks.*",
        "redis",
    ),
    "stream.notify.delivery": ("stream.sinks.*", "stream.connections.outbox", "redis"),
    "stream.console.*": ("stream.processing.agents",),
}

# The first is imported by the second and by nobody else.
IMPORTERS = {
    **dict.fromkeys(TORCH, TORCH_USERS),
    "faust": ("stream.ingest.chunks", "stream.ingest.consumer_thread"),
    "stream.worker.app": (
        "stream.commands.*",
        "stream.demo.play",
        "stream.demo.lesson",
        "stream.worker.monitor",
    ),
    "aiohttp": (
        "stream.connections.http_server",
        "stream.operations.health_server",
        "stream.sinks.*",
        "stream.console.*",
    ),
    "apprise": ("stream.sinks.apprise_service",),
    "prometheus_client": ("stream.operations.metrics", "stream.operations.trainer_monitor"),
    "trainer.*": ("trainer.*", "stream.cli", "stream.commands.*"),
}

WALL_CLOCK = {"now", "utcnow", "today"}


def test_every_name_in_the_tables_is_a_module():
    """A module that was renamed would leave them unnoticed."""
    tabled = {name for name in (*LEAVES, *PURE, *OURS_ALLOWED) if not name.endswith("*")}
    assert tabled - set(_modules()) == set()


def test_every_module_imports_only_what_its_layer_may():
    faults = [fault for name in _modules() for fault in find_faults(name, _source(name))]
    assert not faults, "\n".join(faults)


def test_every_folder_of_stream_imports_only_from_those_before_it():
    here = {name.split(".")[1] for name in _modules() if name.startswith("stream.")}
    assert here == set(STREAM)
    faults = [
        f"{name} imports {imported}"
        for name in _modules()
        if name.startswith("stream.")
        for imported in _imports(name, _source(name))
        if imported.startswith("stream.") and _floor(imported) > _floor(name)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("module", ["stream.cli", "bench", "models.predictor"])
def test_how_openmp_waits_is_settled_before_torch_loads(module):
    """Afterwards it would be too late: torch's OpenMP library reads the variable once."""
    code = (
        "import builtins, os; real = builtins.__import__\n"
        "def watched(name, *rest, **more):\n"
        "    if name == 'torch':\n"
        "        print(os.environ.get('OMP_WAIT_POLICY'), flush=True)\n"
        "        os._exit(0)\n"
        "    return real(name, *rest, **more)\n"
        f"builtins.__import__ = watched; import {module}; print(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout.strip()) == (0, "PASSIVE"), run.stderr


def test_pure_modules_are_given_the_time():
    """Reading the clock would make a backtest differ from the live stream."""
    faults = [
        f"{name}, line {node.lineno}: take the time as an argument"
        for name in _modules()
        if _matches(name, *PURE, "trainer.promotion.gate")
        for node in ast.walk(ast.parse(_source(name)))
        if isinstance(node, ast.Attribute) and node.attr in WALL_CLOCK
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models.batcher", "import torch.nn"),
        ("models.heads", "from redis.asyncio import Redis"),
        ("models.heads", "from stream import names"),
        ("stream.rules.rule_set", "def late():\n    import time"),
        ("stream.rules.rule_set", "from stream.connections.outbox import Outbox"),
        ("stream.connections.outbox", "from faust import App"),
        ("stream.connections.outbox", "from stream.worker import app"),
        ("stream.connections.outbox", "from ..worker.app import Worker"),
        ("trainer.fitting.fit", "from stream.config.settings import Settings"),
        ("stream.processing.telemetry", "from trainer.fitting import fit"),
    ],
)
def test_a_forbidden_import_is_found(module, source):
    assert list(find_faults(module, source))


@pytest.mark.parametrize(
    "module",
    [*LEAVES, "models.registry", "models.explanation", "stream.cli", "stream.console.server"],
)
def test_light_modules_load_neither_torch_nor_faust(module):
    """A console, a client or `bellwether --help` must not wait seconds for them."""
    assert _loaded_by(module).isdisjoint({"torch", "transformers", "faust"})


@pytest.mark.parametrize("module", ["stream.cli", "stream.alerts.lifecycle"])
def test_who_asks_no_rule_does_not_load_cel(module):
    """It takes as long to load as half of a command on alerts."""
    assert "cel" not in _loaded_by(module)


@cache
def _loaded_by(module: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def find_faults(module: str, source: str) -> Iterator[str]:
    """One sentence for every import in source that the tables do not allow to module."""
    for imported in sorted(_imports(module, source)):
        if imported.partition(".")[0] in PACKAGES:
            for allowed in _entries(OURS_ALLOWED, module)[:1]:
                if not _matches(imported, *allowed):
                    yield f"{module} imports {imported}; of ours it may import {allowed or 'none'}"
        for forbidden in _entries(FORBIDDEN, module):
            if _matches(imported, *forbidden):
                yield f"{module} imports {imported}, which its layer must not know"
        for importers in _entries(IMPORTERS, imported):
            if not _matches(module, *importers):
                yield f"{module} imports {imported}, which only {importers} may"


def _entries(table: dict[str, tuple[str, ...]], name: str) -> list[tuple[str, ...]]:
    """The values of a table that hold for name, the most exact key first."""
    keys = sorted((key for key in table if _matches(name, key)), key=lambda key: "*" in key)
    return [table[key] for key in keys]


def _matches(name: str, *patterns: str) -> bool:
    """Whether name is one of patterns or lies inside it: torch.nn lies in torch, a.b in a.*."""
    return any(
        name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)
        for pattern in patterns
    )


def _imports(module: str, source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            # `from stream import names` imports a module, `from stream.names import Keys` a name.
            found.update(
                f"{base}.{alias.name}" if _is_ours(f"{base}.{alias.name}") else base
                for alias in node.names
            )
    return found


def _is_ours(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return name.partition(".")[0] in PACKAGES and (
        path.with_suffix(".py").exists() or (path / "__init__.py").exists()
    )


def _floor(module: str) -> int:
    return STREAM.index(module.split(".")[1])


def _source(module: str) -> str:
    path = ROOT.joinpath(*module.split("."))
    file = path.with_suffix(".py")
    return (file if file.exists() else path / "__init__.py").read_text(encoding="utf-8")


def _modules() -> list[str]:
    files = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    parts = (file.relative_to(ROOT).with_suffix("").parts for file in files)
    return [".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts]
