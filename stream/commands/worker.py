"""worker: the service that scores, alerts and routes."""

from __future__ import annotations

import asyncio
import os
import sys

import click

from stream.commands.chosen_model import RegistryChampions, load_predictor
from stream.commands.options import FAILED, config_option
from stream.commands.service import run_service, start_unless
from stream.config.settings import Settings


@click.command()
@config_option
@click.pass_obj
def worker(settings: Settings) -> None:
    """Consume the sources, score, alert and route until SIGTERM."""
    from stream.operations.health_server import serve_http
    from stream.runtime.heap import spare_long_lived
    from stream.worker.app import Worker
    from stream.worker.freeze import ended_if_frozen
    from stream.worker.monitor import WorkerMonitor
    from stream.worker.watchdog import GIVE_UP

    champions = RegistryChampions(settings) if settings.model.registry else None
    service = Worker(settings, load_predictor(settings), champions)

    async def serve(stop: asyncio.Event) -> None:
        await start_unless(stop, service.start())
        spare_long_lived()
        async with ended_if_frozen(GIVE_UP * settings.http.stall_s):
            await service.run(stop)
            drained = await service.stop()
        if not drained:
            sys.stderr.write(
                f"bellwether: not drained within worker.drain_s ({settings.worker.drain_s:.0f} s); "
                "what was left is read again by the next worker\n"
            )
            # A broker that is gone keeps Faust's own shutdown waiting for ever.
            os._exit(FAILED)

    async def watched(stop: asyncio.Event) -> None:
        async with serve_http(settings.http, WorkerMonitor(service)):
            await serve(stop)

    run_service(watched, leave_at_once=True)
