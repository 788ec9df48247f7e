"""Runs a service until a signal, and ends the process where it can't go on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from stream.commands.options import FAILED, WRONG_USAGE
from stream.config.settings import SettingsError
from stream.ingest.text import printable
from stream.rules.rule_error import RuleError
from stream.runtime.errors import StartError

T = TypeVar("T")


def run_service(
    serve: Callable[[asyncio.Event], Coroutine[Any, Any, T]], *, leave_at_once: bool = False
) -> T:
    """Run a service whose stop event is set by SIGTERM and SIGINT."""

    async def until_signal() -> T:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            return await serve(stop)
        except (StartError, SettingsError, RuleError) as error:
            if not leave_at_once:
                raise
            # Before asyncio.run waits for Faust's tasks, which may swallow their cancellation, and
            # for the threads of Faust and the model: a worker that can't go on must end.
            sys.stderr.write(f"bellwether: {printable(str(error))}\n")
            sys.stderr.flush()
            os._exit(FAILED if isinstance(error, StartError) else WRONG_USAGE)

    return asyncio.run(until_signal())


async def start_unless(stop: asyncio.Event, start: Coroutine[Any, Any, None]) -> None:
    """Start a service, or end the process as done where stop is set before that.

    Nothing was consumed by then, and half a start can't be undone.
    """
    starting = asyncio.ensure_future(start)
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        os._exit(0)
    stopped.cancel()
    await starting
