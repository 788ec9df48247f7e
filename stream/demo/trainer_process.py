"""The demo's trainer in a process of its own; its registry and label log end with the demo."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from stream.config.settings import Settings
from stream.runtime.errors import StartError

LABELLED = 40
LOG_LINES = 10


def teaches(settings: Settings) -> bool:
    """Whether there is a source of tickets to teach on."""
    return any(one.kind == "ticket" for one in settings.sources)


@contextlib.contextmanager
def classroom(settings: Settings) -> Iterator[Settings]:
    """The settings with a registry and a trainer's folder that go when the context ends."""
    with tempfile.TemporaryDirectory(prefix="bellwether-lesson-") as folder:
        registry = {"registry": f"{folder}/registry"}
        taught = {
            "folder": Path(folder) / "trainer",
            "refit_after_labels": LABELLED,
            "deep_after_labels": 0,
            "deep_after_s": 0.0,
            "drift_above": 0.0,
            "shadow_events": 0,
        }
        yield settings.model_copy(
            update={
                "model": settings.model.model_copy(update=registry),
                "trainer": settings.trainer.model_copy(update=taught),
            }
        )


class Trainer:
    """`bellwether trainer` in a process of its own; start() and stop() frame its use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = settings.trainer.folder.with_suffix(".log")

    async def start(self) -> None:
        program = "from stream.cli import main; main()"
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", program, "--config", os.devnull, "trainer"),
                env=_inherited() | _variables(self._settings),
                stdout=log,
                stderr=log,
            )

    def check(self) -> None:
        """Raises StartError with the end of its log when it runs no more."""
        if self._process.returncode is not None:
            lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            raise StartError("\n".join(("the demo's trainer has ended:", *lines)))

    async def stop(self) -> None:
        # Nothing that it writes outlives the demo, so nothing is lost by ending it at once.
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def trainer_beside(settings: Settings) -> AsyncIterator[Trainer]:
    trainer = Trainer(settings)
    await trainer.start()
    try:
        yield trainer
    finally:
        await trainer.stop()


def _inherited() -> dict[str, str]:
    """The environment without the address of the worker's HTTP endpoints, which is taken."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BELLWETHER_HTTP__")
    }


def _variables(settings: Settings) -> dict[str, str]:
    """The settings that the trainer reads, as its environment."""
    chosen = {
        "KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
        "KAFKA__PREFIX": settings.kafka.prefix,
        "MODEL__REGISTRY": settings.model.registry,
        "MODEL__PATH": settings.model.path,
        # The embedded broker makes no topic by request, so the trainer must miss none.
        "SOURCES": _json(settings.sources),
        "QUEUES": _json(settings.queues),
        **{
            f"TRAINER__{name.upper()}": value
            for name, value in settings.trainer.model_dump().items()
        },
    }
    return {f"BELLWETHER_{name}": str(value) for name, value in chosen.items() if value is not None}


def _json(sections: Sequence[Any]) -> str:
    return orjson.dumps([one.model_dump(mode="json") for one in sections]).decode()
