"""python -m tests.acceptance.halted PLACE FILE ...: bellwether, standing still before one call.

PLACE is module:name#n, the nth call of what the module calls so. Before that call the thread that
makes it (of a coroutine, the task) makes FILE and waits for ever: whoever kills the process then
has killed it there, however busy the machine.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import itertools
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream.cli import main


def halt_before(place: str, file: Path) -> None:
    module, _, rest = place.partition(":")
    name, _, number = rest.partition("#")
    *owners, last = name.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    setattr(owner, last, _halting(getattr(owner, last), int(number), file))


def _halting(original: Callable[..., Any], number: int, file: Path) -> Callable[..., Any]:
    calls = itertools.count(1)

    def halts() -> bool:
        if next(calls) != number:
            return False
        file.touch()
        return True

    async def in_task(*arguments: Any, **named: Any) -> Any:
        if halts():
            await asyncio.Event().wait()
        return await original(*arguments, **named)

    def in_thread(*arguments: Any, **named: Any) -> Any:
        if halts():
            threading.Event().wait()
        return original(*arguments, **named)

    return in_task if inspect.iscoroutinefunction(original) else in_thread


if __name__ == "__main__":
    halt_before(sys.argv[1], Path(sys.argv[2]))
    main(sys.argv[3:], prog_name="bellwether")
