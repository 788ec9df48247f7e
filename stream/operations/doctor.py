"""Checks everything a worker needs, one line each, and says what to do about what is wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Container, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError, ResponseError

from models.spec import ModelError, Predictor
from stream.config.connections import Http, Kafka
from stream.config.settings import Settings, SettingsError
from stream.connections.clients import (
    http_token,
    kafka_arguments,
    kafka_fault,
    probe_redis,
    redis_client,
    redis_remedy,
)
from stream.connections.kafka_outage import outage_now
from stream.connections.topic_settings import CLEANUP, LARGEST, SEGMENT, topic_settings, unfit
from stream.connections.topics import wanted_topics
from stream.ingest.sources import Decoder
from stream.notify.route_file import RouteError
from stream.notify.routing import Routing
from stream.processing.tickets import check_queues
from stream.rules.rule_error import RuleError
from stream.rules.rule_set import RuleSet
from stream.runtime.backoff import ONE_REDIS, with_remedy
from stream.sinks.build import check_receivers
from stream.subjects.finder import SubjectFinder

KAFKA_DEADLINE_S = 10.0
LEAST_REDIS = [6, 2]


class Check(msgspec.Struct, frozen=True):
    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str


async def examine(settings: Settings, load_model: Callable[[], Predictor]) -> list[Check]:
    """All checks, in the order data flows. Never raises for what it is there to find."""
    checks = [_guarded("sources", partial(_sources, settings))]
    routing, of_routes = _routes(settings)
    checks += await _kafka(settings, routing)
    checks.append(await _guard("redis", _redis(settings)))
    checks.append(_guarded("subjects", partial(_subjects, settings)))
    if settings.http.listen:
        checks.append(_guarded("http", partial(_http, settings.http)))
    model, predictor = await asyncio.to_thread(_model, load_model)
    checks.append(model)
    if predictor is not None:
        checks.append(_rules(settings, predictor))
        checks.append(_guarded("queues", partial(_queues, settings, predictor)))
    return [*checks, *of_routes]


def _guarded(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", check())
    except SettingsError as error:
        return Check(name, "failed", str(error))


def _sources(settings: Settings) -> str:
    for source in settings.sources:
        Decoder(source, settings.limits)
    return ", ".join(f"{source.topic} ({source.kind})" for source in settings.sources)


def _subjects(settings: Settings) -> str:
    SubjectFinder.load(settings.subjects)
    companies = settings.subjects.companies
    return ", ".join([f"companies of {companies or 'the shipped list'}", *settings.subjects.fields])


def _http(http: Http) -> str:
    return f"{http.listen}, {'by token' if http_token(http) else 'this machine only'}"


async def _kafka(settings: Settings, routing: Routing | None) -> list[Check]:
    kafka, wanted = settings.kafka, wanted_topics(settings)
    try:
        admin = AIOKafkaAdminClient(**kafka_arguments(kafka))
    except SettingsError as error:
        return [Check("kafka", "failed", str(error))]
    try:
        async with asyncio.timeout(KAFKA_DEADLINE_S):
            await admin.start()
            present = set(await admin.list_topics())
            missing = sorted(wanted.keys() - present)
            # How a source is set is its owner's business.
            sources = {source.topic for source in settings.sources}
            ours = sorted(wanted.keys() & present - sources)
            found = await topic_settings(admin, ours, {LARGEST, SEGMENT, CLEANUP})
            # A broker that creates topics unasked would make what is missing.
            outage = "" if missing else await outage_now(admin, settings)
    except (KafkaError, OSError, ValueError, TimeoutError) as error:
        fault = await kafka_fault(kafka, error)
        return [Check("kafka", "failed", f"{kafka.bootstrap} can't be reached {fault}")]
    finally:
        await admin.close()
    reachable = Check("kafka", "ok", f"{kafka.bootstrap}, {len(present)} topics, {_way(kafka)}")
    if kafka.sasl == "PLAIN" and not kafka.tls:
        detail = f"{kafka.bootstrap}: the password travels readable; set kafka.tls"
        reachable = Check("kafka", "warning", detail)
    if outage:
        return [reachable, Check("topics", "failed", outage)]
    faults = [*unfit(found, wanted), *_receivers_without_topic(routing, present)]
    if not missing:
        faulty = Check("topics", "warning", "; ".join(faults))
        return [reachable, faulty if faults else Check("topics", "ok", "all there")]
    created = settings.kafka.create_topics
    remedy = "; the worker creates them when it starts"
    if not created:
        remedy = " and kafka.create_topics is off; create them"
    detail = "; ".join([f"{', '.join(missing)} missing{remedy}", *faults])
    return [reachable, Check("topics", "warning" if created else "failed", detail)]


def _receivers_without_topic(routing: Routing | None, present: Container[str]) -> Iterator[str]:
    """What a worker neither creates nor waits for, so that notifications would fail one by one."""
    for one in routing.receivers.values() if routing else ():
        if one.type == "topic" and one.topic not in present:
            yield (
                f"{one.topic}, to which receiver {one.name} writes, does not exist; create it, "
                "unless the broker creates topics by itself"
            )


def _way(kafka: Kafka) -> str:
    return (
        f"{'TLS' if kafka.tls else 'no TLS'}, {'no login' if kafka.sasl == 'none' else kafka.sasl}"
    )


async def _redis(settings: Settings) -> Check:
    async with redis_client(settings.redis) as client:
        information = await client.info()
        try:
            await probe_redis(client, settings.redis)
        except ResponseError as error:
            # It is reached, and lets nobody write: a replica, or one that is full.
            return Check("redis", "failed", f"takes no writes ({with_remedy(error)})")
    return redis_check(information)


def redis_check(information: Mapping[str, Any]) -> Check:
    """Of one that takes writes, from what it says of itself."""
    version = str(information.get("redis_version", "?"))
    if information.get("redis_mode") == "cluster":
        return Check("redis", "failed", f"is a cluster; {ONE_REDIS}")
    parts = [int(part) for part in re.findall(r"\d+", version)[:2]]
    if parts and parts < LEAST_REDIS:
        return Check("redis", "failed", f"is Redis {version}; it takes 6.2 or newer")
    policy = information.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and information.get("maxmemory"):
        detail = f"forgets alerts and windows once it is full ({policy}); set maxmemory-policy "
        return Check("redis", "warning", f"{detail}noeviction, with which a worker waits")
    memory = information.get("used_memory_human", "?")
    return Check("redis", "ok", f"Redis {version}, {memory} used")


async def _guard(name: str, check: Awaitable[Check]) -> Check:
    try:
        return await check
    except SettingsError as error:
        return Check(name, "failed", str(error))
    except (RedisError, OSError) as error:
        return Check(name, "failed", f"can't be reached ({error}); {redis_remedy(error)}")


def _model(load_model: Callable[[], Predictor]) -> tuple[Check, Predictor | None]:
    try:
        predictor = load_model()
        predictor.warm_up()
    except (ModelError, SettingsError) as error:
        return Check("model", "failed", str(error)), None
    return Check("model", "ok", predictor.description), predictor


def _rules(settings: Settings, predictor: Predictor) -> Check:
    try:
        rules = RuleSet.load(settings.alerting.rules, predictor.heads, settings.subjects.fields)
    except RuleError as error:
        return Check("rules", "failed", str(error))
    return Check("rules", "ok", f"{len(rules)} rules")


def _queues(settings: Settings, predictor: Predictor) -> str:
    check_queues(settings.queues, predictor.heads)
    return ", ".join(queue.name for queue in settings.queues)


def _routes(settings: Settings) -> tuple[Routing | None, list[Check]]:
    """The routing as far as its file can be read, and the check of it; neither without a file."""
    routing = None
    if settings.alerting.routes is None:
        return routing, []
    try:
        routing = Routing.load(settings.alerting.routes)
        check_receivers(routing, settings)
    except RouteError as error:
        return routing, [Check("routes", "failed", str(error))]
    return routing, [Check("routes", "ok", f"receivers {', '.join(routing.receivers)}")]
