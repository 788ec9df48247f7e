"""alerts route: who would be told of an alert with given labels, and by which way."""

from __future__ import annotations

import click

from stream.alerts.matchers import SEVERITIES, no_severity
from stream.commands.options import config_option, json_option
from stream.commands.parameters import warn_of_unknown
from stream.config.settings import Settings, SettingsError
from stream.terminal import show


@click.command()
@config_option
@click.option("--labels", required=True, help="For example severity=critical,rule=fraud-wave")
@json_option
@click.pass_obj
def route(settings: Settings, labels: str, as_json: bool) -> None:
    """Say who would be told of an alert with these labels; check the whole routing file."""
    from stream.notify.routing import Routing
    from stream.sinks.build import SecretError, check_receivers

    if settings.alerting.routes is None:
        raise SettingsError(
            "setting alerting.routes: is not set, so nobody is notified; name a routing file "
            "(BELLWETHER_ALERTING__ROUTES)"
        )
    routing = Routing.load(settings.alerting.routes)
    try:
        check_receivers(routing, settings)
    except SecretError as error:
        # Whoever asks need not have the workers' secrets.
        click.echo(f"warning: {error} where workers run", err=True)
    given = _labels(labels)
    warn_of_unknown(
        settings,
        labels={*given, *routing.label_names()},
        rules={given.get("rule", ""), *routing.rule_names()} - {""},
    )
    found = [
        {
            "receiver": node.receiver,
            "path": node.path,
            "group": node.group_labels(given),
            "group_wait_s": node.timing.group_wait_s,
            "group_interval_s": node.timing.group_interval_s,
            "repeat_interval_s": node.timing.repeat_interval_s,
        }
        for node in routing.routes_of(given)
    ]
    if as_json:
        show.json_object({"labels": given, "routes": found})
    else:
        show.table("routes", found, columns=("receiver", "path", "group"))


def _labels(text: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for part in text.split(","):
        name, found, value = part.partition("=")
        if not found or not name.strip():
            raise click.UsageError(f"--labels: {part!r} is no label; write name=value,name=value")
        labels[name.strip()] = value.strip()
    if labels.get("severity", SEVERITIES[0]) not in SEVERITIES:
        raise click.UsageError(f"--labels: {no_severity(labels['severity'])}")
    if "subject" in labels:
        labels.setdefault("subject_kind", labels["subject"].partition(":")[0])
    return labels
