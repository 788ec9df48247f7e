"""The live terminal view of the demo: rates, batches, latency, latest alerts."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.results import Statistics
from stream.ingest.text import printable
from stream.processing.telemetry import Telemetry

SEVERITY_STYLES = {"critical": "bold red", "warning": "yellow", "info": "green"}
ALERT_ROWS = 12


def render(
    telemetry: Telemetry, batches: Statistics, *, published: int, note: str
) -> RenderableType:
    """One frame. Event text is shown as plain text: markup and control characters do nothing."""
    return Group(
        Panel(_figures(telemetry, batches, published), title="bellwether", subtitle=note),
        Panel(_alerts(telemetry), title="latest alerts"),
    )


def _figures(telemetry: Telemetry, batches: Statistics, published: int) -> Table:
    latency = telemetry.latency()
    fill = batches.tokens / batches.padded_tokens if batches.padded_tokens else 0.0
    size = batches.texts / batches.batches if batches.batches else 0.0
    table = Table.grid(padding=(0, 3))
    table.add_row(
        _figure("published", f"{published:,}"),
        _figure("scored", f"{telemetry.scored:,}"),
        _figure("dead letters", f"{telemetry.dead_letters.total():,}"),
        _figure("events/s", f"{telemetry.events_per_second:,.0f}"),
        _figure("waiting", f"{batches.waiting:,}"),
    )
    table.add_row(
        _figure("texts a batch", f"{size:.1f}"),
        _figure("batch fill", f"{fill:.0%}"),
        _figure("p50", _milliseconds(latency.p50)),
        _figure("p99", _milliseconds(latency.p99)),
        _figure("to review", f"{telemetry.reviewed:,}"),
    )
    queues = ", ".join(
        f"{name} {count}" for name, count in telemetry.queues.most_common() if name != "review"
    )
    table.add_row(
        _figure("alerts", f"{telemetry.alerts.total():,}"),
        _figure("copies", f"{telemetry.copies:,}"),
        _figure("queues", queues),
    )
    return table


def _alerts(telemetry: Telemetry) -> Table:
    table = Table(expand=True, box=None, show_edge=False)
    table.add_column("time", no_wrap=True)
    table.add_column("severity", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("alert", ratio=1, no_wrap=True, overflow="ellipsis")
    for alert in list(telemetry.latest_alerts)[-ALERT_ROWS:][::-1]:
        table.add_row(
            f"{alert.last_seen:%H:%M:%S}",
            Text(alert.severity, style=SEVERITY_STYLES[alert.severity]),
            alert.state,
            str(alert.count),
            Text(printable(f"{alert.title} - {alert.summary}")),
        )
    return table


def _figure(name: str, value: str) -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, "bold"))


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
