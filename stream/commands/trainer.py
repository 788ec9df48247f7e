"""trainer: the service that learns from people's labels."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from stream.commands.chosen_model import open_registry
from stream.commands.options import config_option
from stream.commands.service import run_service, start_unless
from stream.config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from trainer.service import TrainerService


@click.command()
@config_option
@click.pass_obj
def trainer(settings: Settings) -> None:
    """Learn from feedback until SIGTERM: fit, judge, publish, and take back what is worse."""
    from stream.connections.topics import prepare_topics
    from stream.operations.health_server import serve_http
    from stream.operations.trainer_monitor import TrainerMonitor
    from trainer.priority import lower_priority

    service = trainer_service(settings)
    lower_priority()

    monitor = TrainerMonitor(service.status, stall_s=settings.http.stall_s)

    async def start() -> None:
        await prepare_topics(settings)
        await service.start()

    async def serve(stop: asyncio.Event) -> None:
        async with serve_http(settings.http, monitor):
            await start_unless(stop, start())
            try:
                await service.run(stop)
            finally:
                await service.stop()

    run_service(serve)


def trainer_service(settings: Settings) -> TrainerService:
    """The trainer of these settings, not started yet. Raises SettingsError or ModelError."""
    from stream.connections.clients import kafka_arguments
    from trainer.promotion.gate import Limits
    from trainer.promotion.probation import Probation
    from trainer.schedule import Schedule
    from trainer.service import TrainerService
    from trainer.service_config import ServiceConfig

    chosen = settings.trainer
    if chosen.tensorboard and not find_spec("tensorboard"):
        raise SettingsError(
            "setting trainer.tensorboard: needs the train extra; pip install 'bellwether[train]', "
            "or leave the setting out"
        )
    return TrainerService(
        ServiceConfig(
            kafka=kafka_arguments(settings.kafka),
            topics=settings.topics,
            folder=chosen.folder,
            parent=settings.model.path,
            remember_events=chosen.remember_events,
            schedule=Schedule(
                chosen.refit_after_labels,
                chosen.refit_after_s,
                chosen.deep_after_labels,
                chosen.deep_after_s,
            ),
            limits=Limits(max_loss=chosen.max_loss, max_suspects=chosen.max_suspects),
            drift_above=chosen.drift_above,
            tensorboard=chosen.tensorboard,
            probation=Probation(chosen.shadow_events, chosen.shadow_s, chosen.shadow_max_change),
        ),
        open_registry(settings),
    )
