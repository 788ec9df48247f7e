"""The command line as a test calls it: as a process of its own, or in this one, which is sooner.

In this one only what ends by itself: a service ends its whole process when it can't go on.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from click.testing import CliRunner

from stream.cli import main

BELLWETHER = Path(sys.executable).with_name("bellwether")
TIMEOUT_S = 120


class Ended(NamedTuple):
    code: int
    out: str
    errors: str


def process(*arguments: str | Path, folder: Path, **environment: str) -> Ended:
    run = subprocess.run(
        [BELLWETHER, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return Ended(run.returncode, run.stdout, run.stderr)


def call(*arguments: str | Path, folder: Path, **environment: str) -> Ended:
    with contextlib.chdir(folder):
        run = CliRunner(env=environment).invoke(main, [*map(str, arguments)])
    if run.exception and not isinstance(run.exception, SystemExit):
        raise run.exception
    return Ended(run.exit_code, run.stdout, run.stderr)
