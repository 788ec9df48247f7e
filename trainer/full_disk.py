"""Retries writes while the disk is full, which delays the trainer and loses nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from models.spec import ModelError
from trainer.errors import LabelLogError

T = TypeVar("T")

logger = logging.getLogger(__name__)

RETRY_S = 2.0
TRIES_A_WARNING = 15


async def retry_while_disk_is_full(
    write: Callable[[], Awaitable[T]], stop: asyncio.Event, tell: Callable[[str], None]
) -> T:
    """What write gives, which is tried until it succeeds; it must do no harm when done twice.

    tell is told each time what is in the way. Raises write's LabelLogError, ModelError or OSError
    when stop is set meanwhile.
    """
    tries = 0
    while True:
        try:
            return await write()
        except (LabelLogError, ModelError, OSError) as error:
            if stop.is_set():
                raise
            words = f"{error}; nothing is lost, it is tried again"
            tell(words)
            if tries % TRIES_A_WARNING == 0:
                logger.error("%s", words)  # noqa: TRY400
            tries += 1
        await asyncio.sleep(RETRY_S)
