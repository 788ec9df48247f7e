"""From the receivers of a routing file to sinks; the only place that reads their secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from stream.config.durations import seconds
from stream.config.settings import Settings
from stream.connections.outbox import RecordSink
from stream.connections.topics import wanted_topics
from stream.names import TOPIC_NAME
from stream.notify.notification import Notification, Sink
from stream.notify.route_file import ReceiverConfig, RouteError
from stream.notify.routing import Routing
from stream.sinks import payloads
from stream.sinks.addresses import check_url
from stream.sinks.redis_stream import RedisSink
from stream.sinks.topic import TopicSink
from stream.sinks.webhook import WebhookSink

# What each type reads beside name, type, timeout, give_up_after and send_resolved.
_FIELDS = {
    "topic": {"topic"},
    "redis": {"stream", "max_length"},
    "webhook": {
        "payload",
        "url",
        "url_env",
        "url_file",
        "secret_env",
        "secret_file",
        "allow_internal",
    },
    "apprise": {"url_env", "url_file", "allow_internal"},
}
_COMMON = {"name", "type", "timeout", "give_up_after", "send_resolved"}


class SecretError(RouteError):
    """A receiver is right as written, but its secret or address is not on this machine."""


def check_receivers(routing: Routing, settings: Settings) -> None:
    """Raises RouteError, naming receiver and field, for those that could never be told.

    SecretError only where nothing else is wrong with any.
    """
    faults: list[str] = []
    missing: list[str] = []
    for config in routing.receivers.values():
        try:
            _check(config, settings)
        except SecretError as error:
            missing += error.faults
        except RouteError as error:
            faults += error.faults
    if faults:
        raise RouteError(*faults)
    if missing:
        raise SecretError(*missing)


def build_sinks(
    routing: Routing, settings: Settings, *, redis: Redis, outbox: RecordSink
) -> Mapping[str, Sink]:
    """A sink for each receiver. Raises RouteError."""
    check_receivers(routing, settings)
    console = settings.console.url or ""
    return {name: _build(one, redis, outbox, console) for name, one in routing.receivers.items()}


def _check(config: ReceiverConfig, settings: Settings) -> None:
    defaults = ReceiverConfig(name=config.name, type=config.type)
    for field in ReceiverConfig.__struct_fields__:
        if field in _COMMON or field in _FIELDS[config.type]:
            continue
        if getattr(config, field) != getattr(defaults, field):
            known = ", ".join(sorted(_FIELDS[config.type]))
            raise _refused(
                config, f"{field} means nothing for type {config.type}; it reads {known}"
            )
    for field in ("timeout", "give_up_after"):
        try:
            seconds(getattr(config, field))
        except ValueError as error:
            raise _refused(config, f"{field} {getattr(config, field)!r}: {error}") from None
    _check_place(config, settings)


def _check_place(config: ReceiverConfig, settings: Settings) -> None:
    if config.type == "topic":
        _check_topic(config, settings)
    if config.type == "redis":
        _check_stream(config, settings)
    if config.type == "webhook":
        secret = _secret(config)
        if config.payload == "pagerduty" and not secret:
            raise _refused(config, "pagerduty needs its routing key in secret_env or secret_file")
        try:
            check_url(_url(config), allow_internal=config.allow_internal)
        except ValueError as error:
            raise _refused(config, f"url {error}") from None
    if config.type == "apprise":
        _apprise(config)


def _check_topic(config: ReceiverConfig, settings: Settings) -> None:
    if not TOPIC_NAME.fullmatch(config.topic):
        raise _refused(
            config, "topic must be a Kafka topic name: letters, digits, '.', '_' and '-'"
        )
    if config.topic in wanted_topics(settings):
        raise _refused(
            config,
            f"topic {config.topic} is a source or holds other records of ours, whose readers would "
            "find notifications there; name another",
        )


def _check_stream(config: ReceiverConfig, settings: Settings) -> None:
    if not config.stream:
        raise _refused(config, "stream is missing; name the Redis stream to add to")
    prefix, ours = settings.redis.prefix, f"{settings.redis.prefix}notifications"
    if config.stream.startswith(prefix) and not config.stream.startswith(ours):
        raise _refused(
            config,
            f"stream {config.stream} is among our own keys; name one that begins with {ours}, or "
            f"not with {prefix}",
        )


def _build(config: ReceiverConfig, redis: Redis, outbox: RecordSink, console: str) -> Sink:
    timeout_s = float(seconds(config.timeout))
    if config.type == "topic":
        return TopicSink(outbox, config.topic, timeout_s)
    if config.type == "redis":
        return RedisSink(redis, config.stream, config.max_length)
    if config.type == "apprise":
        return _apprise(config, console)
    secret = _secret(config)
    body: Callable[[Notification], dict[str, Any]]
    if config.payload == "pagerduty":
        body = partial(payloads.pagerduty, routing_key=secret, console=console)
    elif config.payload == "alertmanager":
        body = partial(payloads.alertmanager, console=console)
    else:
        body = payloads.bellwether
    return WebhookSink(
        _url(config),
        body=body,
        # A PagerDuty routing key travels in the body; signing with it would prove nothing.
        secret=b"" if config.payload == "pagerduty" else secret.encode(),
        allow_internal=config.allow_internal,
        timeout_s=timeout_s,
    )


def _apprise(config: ReceiverConfig, console: str = "") -> Sink:
    from stream.sinks.apprise_service import AppriseSink  # noqa: PLC0415 - slow to import

    try:
        return AppriseSink(
            _url(config),
            allow_internal=config.allow_internal,
            timeout_s=float(seconds(config.timeout)),
            console=console,
        )
    except ValueError as error:
        raise _refused(config, f"url {error}") from None


def _url(config: ReceiverConfig) -> str:
    given = [config.url, config.url_env, config.url_file]
    if sum(map(bool, given)) > 1:
        raise _refused(config, "give one of url, url_env and url_file")
    if config.url:
        return config.url
    if config.url_env or config.url_file:
        return _read(config, "url", config.url_env, config.url_file)
    if config.type == "webhook" and config.payload == "pagerduty":
        return payloads.PAGERDUTY_URL
    raise _refused(
        config, "url is missing; give url_env or url_file (url where it holds no secret)"
    )


def _secret(config: ReceiverConfig) -> str:
    if not (config.secret_env or config.secret_file):
        return ""
    return _read(config, "secret", config.secret_env, config.secret_file)


def _read(config: ReceiverConfig, field: str, variable: str, file: str) -> str:
    """Never quotes what it read."""
    if variable and file:
        raise _refused(config, f"give one of {field}_env and {field}_file")
    if variable:
        value = os.environ.get(variable, "").strip()
        if not value:
            fault = f"{field}_env: the environment has no {variable}; set it"
            raise _refused(config, fault, SecretError)
        return value
    try:
        value = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        fault = f"{field}_file {file}: can't be read ({reason})"
        raise _refused(config, fault, SecretError) from None
    if not value:
        raise _refused(config, f"{field}_file {file}: is empty")
    return value


def _refused(
    config: ReceiverConfig, reason: str, kind: type[RouteError] = RouteError
) -> RouteError:
    return kind(f"routing file, receiver {config.name!r}: {reason}")
