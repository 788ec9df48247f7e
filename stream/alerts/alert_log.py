"""Reading the topic of alert transitions: the history that outlasts Redis."""

from __future__ import annotations

import logging
from datetime import datetime

from stream.alerts.identity import latest
from stream.config.settings import Settings
from stream.connections.topic_log import read_log
from stream.records import DECODE_ERRORS, Alert, decode_alert

logger = logging.getLogger(__name__)


async def read_alerts(settings: Settings, *, since: datetime, until: datetime) -> list[Alert]:
    """Alerts with a transition written in [since, until), each as its last one left it.

    An id that was used again stands for two. In the order of their first event; the log says how
    many records are no transitions. Raises StartError without Kafka.
    """
    until_ms = round(until.timestamp() * 1000)
    found: dict[str, list[Alert]] = {}
    strange = 0
    async for record in read_log(settings, settings.topics.alerts, since=since):
        if record.timestamp >= until_ms:
            continue
        try:
            alert = decode_alert(record.value or b"")
        except DECODE_ERRORS:
            strange += 1
            continue
        found[alert.id] = latest(found.get(alert.id, []), alert)
    if strange:
        logger.warning(
            "%d records on %s are no transitions of alerts and are left out; something else "
            "writes there",
            strange,
            settings.topics.alerts,
        )
    alerts = (alert for of_id in found.values() for alert in of_id)
    return sorted(alerts, key=lambda alert: (alert.first_seen, alert.id))
