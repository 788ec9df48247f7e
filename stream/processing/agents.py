"""Agents: a short loop over a stream of chunks, the same for every source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from stream.ingest.chunks import ChunkTracker
from stream.ingest.sources import Decoder
from stream.processing.pipeline import Pipeline


def chunk_agent(
    decoder: Decoder, tracker: ChunkTracker, pipeline: Pipeline
) -> Callable[[Any], Awaitable[None]]:
    """The body of one source's agent; it takes any stream whose noack().events() yields chunks.

    It never raises: Faust would commit the chunk it raised on. What can't be handled ends the
    pipeline, and the chunk stays unacknowledged.
    """

    async def consume(stream: Any) -> None:
        async for event in stream.noack().events():
            chunk = tracker.open(event)
            try:
                await pipeline.accept(chunk, decoder)
            except Exception as error:  # noqa: BLE001 - see above
                pipeline.fail(error)

    return consume
