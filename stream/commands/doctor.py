"""doctor: looking after a running deployment."""

from __future__ import annotations

import asyncio
import sys

import click

from stream.commands.chosen_model import load_predictor
from stream.commands.options import FAILED, config_option, json_option
from stream.config.settings import Settings
from stream.terminal import show
from stream.terminal.logs import set_up_logging


@click.command()
@config_option
@json_option
@click.pass_obj
def doctor(settings: Settings, as_json: bool) -> None:
    """Check broker, topics, Redis, model, device and rules; say what to do."""
    from stream.operations.doctor import examine

    set_up_logging("ERROR")
    checks = asyncio.run(examine(settings, lambda: load_predictor(settings)))
    healthy = all(check.status != "failed" for check in checks)
    if as_json:
        show.json_object({"healthy": healthy, "checks": checks})
    else:
        show.rows("doctor", ((one.name, f"{one.status}: {one.detail}") for one in checks))
    if not healthy:
        sys.exit(FAILED)
