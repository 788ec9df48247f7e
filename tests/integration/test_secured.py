"""TLS, logins and certificates against a real Kafka and a real Redis that insist on them."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from models.stub import StubPredictor
from stream.config.settings import Settings, load_settings
from stream.connections.clients import connect_redis
from stream.connections.outbox import Outgoing, open_outbox
from stream.connections.topics import prepare_topics
from stream.operations.doctor import examine
from stream.runtime.errors import StartError
from stream.worker.app import Worker
from tests.certificates import Certificates, make_certificates
from tests.integration.traffic import settle
from tests.kafka_server import USER, KafkaServer
from tests.redis_server import RedisServer
from tests.server_process import MissingComponentError

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

PASSWORD = "swordfish-of-the-test"
WRONG = "minnow-of-the-test"
DEADLINE_S = 60.0
BELLWETHER = Path(sys.executable).with_name("bellwether")
# What docs/security.md tells users to allow.
COMMANDS = "+@read +@write +@connection +@scripting +@transaction +@pubsub -@dangerous +info"
ACL = (
    "user default off",
    f"user admin on >{PASSWORD}-admin ~* &* +@all",
    f"user {USER} on >{PASSWORD} ~bw:* &bw:* {COMMANDS}",
)


SOURCES = ("news", "social", "tickets")
GROUPS = ("scram-sha-512", "scram-sha-256", "plain", "mutual")


def give_rights(bootstrap: str) -> None:
    """Those that docs/security.md lists, and no more, to both of our users."""
    topic, literal = ResourceType.TOPIC, ResourcePatternType.LITERAL
    read, write = AclOperation.READ, AclOperation.WRITE
    describe, settings = AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS
    ours = [f"bellwether.{name}" for name in ("feedback", "models", "shadow", "scored", "ledger")]
    rights = [
        *((topic, name, literal, one) for name in (*SOURCES, *ours) for one in (read, describe)),
        *((topic, name, literal, one) for name in SOURCES for one in (write, settings)),
        (topic, "bellwether.dead-letter", ResourcePatternType.PREFIXED, read),
        *(
            (topic, "bellwether.", ResourcePatternType.PREFIXED, one)
            for one in (write, describe, settings)
        ),
        *((ResourceType.GROUP, name, literal, read) for name in GROUPS),
        (ResourceType.BROKER, "kafka-cluster", literal, AclOperation.CREATE),
    ]
    allow = AclPermissionType.ALLOW
    bindings = [
        AclBinding(kind, name, pattern, f"User:{user}", "*", operation, allow)
        for kind, name, pattern, operation in rights
        for user in (USER, "CN=client")
    ]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for given in admin.create_acls(bindings).values():
        given.result(DEADLINE_S)


class Secured(NamedTuple):
    kafka: KafkaServer
    redis: RedisServer
    certificates: Certificates


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with ExitStack() as stack:
        try:
            certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
            kafka = KafkaServer(
                tmp_path_factory.mktemp("kafka"), certificates=certificates, password=PASSWORD
            )
            redis = RedisServer(
                tmp_path_factory.mktemp("redis"), certificates=certificates, acl=ACL
            )
        except MissingComponentError as missing:
            pytest.skip(str(missing))
        for server in (kafka, redis):
            server.start()
            stack.callback(server.stop)
        give_rights(kafka.bootstrap)
        yield Secured(kafka, redis, certificates)


def toml(secured: Secured, folder: Path, *, sasl: str = "SCRAM-SHA-512", secret: str) -> Path:
    password_file = folder / "password"
    password_file.write_text(f"{secret}\n")
    path = folder / "bellwether.toml"
    path.write_text(
        f"""
        [kafka]
        bootstrap = "{secured.kafka.sasl_bootstrap}"
        group = "{sasl.lower()}"
        tls = true
        ca_file = "{secured.certificates.ca}"
        sasl = "{sasl}"
        username = "{USER}"
        password_file = "{password_file}"
        [redis]
        url = "{secured.redis.tls_url}"
        ca_file = "{secured.certificates.ca}"
        username = "{USER}"
        password_file = "{password_file}"
        [worker]
        start_timeout_s = 1
        """
    )
    return path


async def assert_scores_one(settings: Settings) -> None:
    worker = Worker(settings, StubPredictor())
    await worker.start()
    try:
        event = {"id": settings.kafka.group, "text": "negative fraud_security", "tickers": ["A"]}
        async with open_outbox(settings.kafka) as outbox:
            await outbox.send([Outgoing("news", b"k", orjson.dumps(event))])
        await settle(worker, 1)
        assert worker.telemetry.transitions > 0, "nothing went through Redis"
    finally:
        assert await worker.stop()


@pytest.mark.parametrize("sasl", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
async def test_a_worker_scores_and_alerts_with_tls_and_a_login(
    secured: Secured, sasl: str, tmp_path: Path
) -> None:
    await assert_scores_one(load_settings(toml(secured, tmp_path, sasl=sasl, secret=PASSWORD)))


async def test_a_certificate_is_a_login_too(secured: Secured, tmp_path: Path) -> None:
    base = load_settings(toml(secured, tmp_path, secret=PASSWORD))
    mutual = {
        "bootstrap": secured.kafka.mutual_tls_bootstrap,
        "group": "mutual",
        "sasl": "none",
        "cert_file": secured.certificates.client_cert,
        "key_file": secured.certificates.client_key,
    }
    await assert_scores_one(base.model_copy(update={"kafka": base.kafka.model_copy(update=mutual)}))


async def test_without_the_certificate_nobody_comes_in(secured: Secured, tmp_path: Path) -> None:
    base = load_settings(toml(secured, tmp_path, secret=PASSWORD))
    bare = {"bootstrap": secured.kafka.mutual_tls_bootstrap, "sasl": "none"}
    with pytest.raises(StartError, match="can't be reached"):
        await prepare_topics(base.model_copy(update={"kafka": base.kafka.model_copy(update=bare)}))


async def test_an_unknown_authority_is_refused_and_the_remedy_named(
    secured: Secured, tmp_path: Path
) -> None:
    base = load_settings(toml(secured, tmp_path, secret=PASSWORD))
    no_ca = {"ca_file": None}
    strangers = base.model_copy(
        update={
            "kafka": base.kafka.model_copy(update=no_ca),
            "redis": base.redis.model_copy(update=no_ca),
        }
    )
    with pytest.raises(StartError, match=r"kafka\.ca_file"):
        await prepare_topics(strangers)
    with pytest.raises(StartError, match=r"redis\.ca_file"):
        await connect_redis(strangers)


@pytest.mark.parametrize("command", [("alerts", "list"), ("dead-letters", "list")])
def test_a_wrong_password_is_named_and_never_shown(
    secured: Secured, command: tuple[str, ...], tmp_path: Path
) -> None:
    path = toml(secured, tmp_path, secret=WRONG)
    run = subprocess.run(
        [BELLWETHER, "--log-level", "DEBUG", *command, "--config", path],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 1, output
    assert "password_file" in output
    assert WRONG not in output
    assert "Traceback" not in output


@pytest.mark.parametrize("secret", [PASSWORD, WRONG])
async def test_no_secret_is_shown_by_doctor_or_any_log(
    secured: Secured, secret: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = load_settings(toml(secured, tmp_path, secret=secret))
    checks = {check.name: check for check in await examine(settings, StubPredictor)}
    right = secret == PASSWORD
    assert (checks["kafka"].status == "ok", checks["redis"].status == "ok") == (right, right)
    assert ("TLS, SCRAM-SHA-512" in checks["kafka"].detail) == right
    assert ("kafka.password_file" in checks["kafka"].detail) != right
    assert ("redis.password_file" in checks["redis"].detail) != right
    assert secret not in caplog.text + str(checks)


async def test_whoever_comes_without_a_login_is_told_to_bring_one(
    secured: Secured, tmp_path: Path
) -> None:
    path = tmp_path / "plain.toml"
    path.write_text(
        f'[kafka]\nbootstrap = "{secured.kafka.sasl_bootstrap}"\n'
        f'[redis]\nurl = "{secured.redis.url}"\n'
    )
    checks = {check.name: check for check in await examine(load_settings(path), StubPredictor)}
    assert "set kafka.tls and kafka.sasl" in checks["kafka"].detail
    assert "redis.username" in checks["redis"].detail
