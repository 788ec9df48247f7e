"""Health, readiness and metrics of a worker."""

from __future__ import annotations

import asyncio

from redis.exceptions import RedisError

from stream.connections.clients import probe_redis
from stream.operations.health_server import Report
from stream.operations.metrics import Labels, Reading, exposition, worker_families
from stream.processing.tickets import REVIEW
from stream.runtime.backoff import present_troubles, with_remedy
from stream.worker.app import Worker

TAKES_WRITES = "takes writes"


class WorkerMonitor:
    """stream.operations.health_server.Endpoints of a worker, from before its start on."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def health(self) -> Report:
        worker = self._worker
        if not worker.started:
            return Report(ok=True, details={"worker": _starting()})
        broken = worker.pipeline.broken
        if broken.done():
            error = broken.result()
            return Report(ok=False, details={"worker": f"{type(error).__name__}: {error}"})
        stalled = worker.watchdog.stalled
        return Report(ok=not stalled, details={"worker": stalled or "works"} | self._champion())

    async def ready(self) -> Report:
        worker = self._worker
        if not worker.started:
            return Report(ok=False, details={"worker": _starting()})
        redis = await self._write_to_redis()
        kafka = f"{worker.assigned} partitions" if worker.joined else "not in the group yet"
        return Report(
            ok=worker.joined and redis == TAKES_WRITES,
            details={"kafka": kafka, "redis": redis, "model": worker.predictor.version}
            | self._champion(),
        )

    def metrics(self) -> bytes:
        worker = self._worker
        started = worker.started
        reading = Reading(
            labels=self._labels(),
            telemetry=worker.telemetry,
            batches=worker.pipeline.batcher.statistics() if started else None,
            lags=worker.watchdog.lags if started else {},
            assigned=worker.assigned if started else 0,
            model=worker.predictor.version,
            swaps=worker.swaps,
            refused=bool(worker.refused.why),
            stalled=started and bool(worker.watchdog.stalled),
            deliveries=worker.deliveries,
        )
        return exposition(worker_families(reading))

    def _champion(self) -> dict[str, str]:
        """Of one that the registry names and this worker can't serve; no restart mends that."""
        refused = self._worker.refused
        return {"champion": f"{refused.version} not served: {refused.why}"} if refused.why else {}

    def _labels(self) -> Labels:
        worker, settings = self._worker, self._worker.settings
        routing = worker.routes.routing
        return Labels(
            sources=[source.kind for source in settings.sources],
            rules=worker.rules.present.names,
            queues=[*(queue.name for queue in settings.queues), REVIEW],
            receivers=list(routing.receivers) if routing else (),
        )

    async def _write_to_redis(self) -> str:
        settings = self._worker.settings.redis
        try:
            async with asyncio.timeout(settings.timeout_s):
                await probe_redis(self._worker.redis, settings)
        except (RedisError, OSError, TimeoutError) as error:
            return with_remedy(error)
        return TAKES_WRITES


def _starting() -> str:
    """What a worker does that does not work yet."""
    usual = "waits for Kafka and Redis, warms the model up, joins its group"
    return f"starting: {'; '.join(present_troubles()) or usual}"
