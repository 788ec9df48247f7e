"""Every connection to Kafka and Redis is built from what these functions give, and how one ends."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from stream.config.connections import LEAST_TOKEN_CHARS, Http, Kafka
from stream.config.connections import Redis as RedisSettings
from stream.config.settings import Settings, SettingsError
from stream.connections.unpack import bound_unpacking
from stream.names import Keys
from stream.runtime.backoff import READ_ONLY, Backoff
from stream.runtime.errors import StartError

logger = logging.getLogger(__name__)

PROBE_MS = 5_000
PROBE_EXPIRES_S = 60
STOP_S = 2.0

RESTART_S = 3.0
"""What a restart of Redis takes, and what a person waits without wondering."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 0.5

T = TypeVar("T")


class Reconnecting(Retry):
    """A call that loses its connection, or gets none, tries again: once, or for some for_s seconds.

    Where a primary has become a replica, the next call connects anew, and may find the new one:
    redis-py goes on with the connections it has, wherever the address leads by then.
    """

    def __init__(self, for_s: float) -> None:
        backoff = ExponentialBackoff(LONGEST_PAUSE_S, FIRST_PAUSE_S / 2) if for_s else NoBackoff()
        super().__init__(backoff, -1 if for_s else 1, (RedisConnectionError,))
        self._for_s = for_s

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        began = time.monotonic()

        def may_mend(error: Exception) -> bool:
            # By the clock, as redis-py has calls with retries within each other.
            over = bool(self._for_s) and time.monotonic() - began >= self._for_s
            return not (over or refused_by_redis(error)) and (
                is_retryable is None or is_retryable(error)
            )

        async def once() -> T:
            try:
                return await do()
            except ResponseError as error:
                # By words, as it may come wrapped in an error of a script.
                if READ_ONLY in str(error):
                    await (fail(error, 1) if with_failure_count else fail(error))
                raise

        return await super().call_with_retry(once, fail, may_mend, with_failure_count)


class FileCredentials(CredentialProvider):
    """Reads the password for each connection, so that it may change while a service runs."""

    def __init__(self, username: str | None, file: Path) -> None:
        self._username = username
        self._file = file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = _secret(None, self._file, "redis.password_file") or ""
        except SettingsError as error:  # which no service that runs expects of a connection
            raise AuthenticationError(str(error)) from None
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


def kafka_arguments(kafka: Kafka) -> dict[str, Any]:
    """What aiokafka's clients take to reach the brokers, login and certificates included.

    From then on what a consumer of this process unpacks is bounded.

    Raises SettingsError when a file that a setting names can't be used.
    """
    bound_unpacking()
    arguments: dict[str, Any] = {"bootstrap_servers": kafka.bootstrap}
    if kafka.tls:
        arguments["ssl_context"] = _tls_context(kafka)
    if kafka.sasl != "none":
        arguments["sasl_mechanism"] = kafka.sasl
        arguments["sasl_plain_username"] = kafka.username
        arguments["sasl_plain_password"] = _secret(
            kafka.password, kafka.password_file, "kafka.password_file"
        )
    protocol = "SSL" if kafka.tls else "PLAINTEXT"
    arguments["security_protocol"] = protocol if kafka.sasl == "none" else f"SASL_{protocol}"
    return arguments


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Returns in any case: whoever stops one may be about to try again.

    Without Kafka a stop may hang, or raise the cancellation of the consumer's own fetches, which is
    none of the caller.
    """
    await asyncio.wait([asyncio.create_task(consumer.stop())], timeout=STOP_S)


def redis_client(settings: RedisSettings, *, restart_s: float = 0.0) -> Redis:
    """A client of the Redis in the settings; it connects when first used. Raises SettingsError.

    Each call waits up to restart_s seconds for a Redis that restarts.
    """
    arguments: dict[str, Any] = {
        # A connection that was lost while nobody used it is made anew, at once. For all else
        # services back off themselves; redis-py's way would hide a fault for ten times timeout_s.
        "retry": Reconnecting(restart_s),
        "socket_timeout": settings.timeout_s,
        "socket_connect_timeout": settings.timeout_s,
        "username": settings.username,
    }
    password = _secret(settings.password, settings.password_file, "redis.password_file")
    if not settings.password_file:
        arguments["password"] = password
    if settings.url.startswith("rediss:"):
        _tls_context(settings)  # redis-py reads the files late, and says less of what is wrong
        arguments["ssl_ca_certs"] = _path(settings.ca_file)
        arguments["ssl_certfile"] = _path(settings.cert_file)
        arguments["ssl_keyfile"] = _path(settings.key_file)
    client = Redis.from_url(settings.url, **arguments)
    if settings.password_file:
        # redis-py takes no provider beside a user, whom the address may name.
        kept = client.connection_pool.connection_kwargs
        username = kept.pop("username", None)
        kept["credential_provider"] = FileCredentials(username, settings.password_file)
    return client


async def probe_redis(client: Redis, settings: RedisSettings) -> None:
    """Write to it: one that is full or read-only still answers a ping."""
    await client.set(Keys(settings.prefix).probe, 1, ex=PROBE_EXPIRES_S)


async def connect_redis(settings: Settings) -> Redis:
    """A client that has answered once. Waits up to worker.start_timeout_s; then StartError."""
    client = redis_client(settings.redis)
    backoff = Backoff("waiting for Redis", logger)
    while True:
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            if refused_by_redis(error) or backoff.waited_s > settings.worker.start_timeout_s:
                await client.aclose()
                raise StartError(
                    f"Redis can't be reached after {backoff.waited_s:.0f} s ({error}); "
                    f"{redis_remedy(error)}"
                ) from error
            await backoff.wait(error)
        else:
            return client


def refused_by_redis(error: Exception) -> bool:
    """Whether Redis answered and let us not in, which no waiting mends."""
    return isinstance(error, AuthenticationError | AuthorizationError) or "NOPERM" in str(error)


def redis_remedy(error: Exception) -> str:
    """What to do about an error of a first connection to Redis."""
    if refused_by_redis(error):
        return "check redis.username, redis.password_file and the user's ACL (docs/security.md)"
    if "CERTIFICATE" in str(error).upper() or "SSL" in str(error).upper():
        return "check redis.ca_file, and that redis.url begins with rediss:// if Redis speaks TLS"
    if "DB index" in str(error):
        return "this Redis has fewer databases; correct the number at the end of redis.url"
    return "start it, or set redis.url (BELLWETHER_REDIS__URL)"


async def kafka_fault(kafka: Kafka, error: Exception) -> str:
    """Why the first broker lets us not in, and what to do; aiokafka only says that none did."""
    host, port, _ = collect_hosts(kafka.bootstrap)[0]
    arguments = kafka_arguments(kafka)
    del arguments["bootstrap_servers"]
    try:
        link = await create_conn(host, port, request_timeout_ms=PROBE_MS, **arguments)
    except (KafkaError, OSError, TimeoutError) as fault:
        error = fault
    else:
        link.close()
    return f"({str(error) or type(error).__name__}); {_kafka_remedy(kafka, error)}"


def _kafka_remedy(kafka: Kafka, error: Exception) -> str:
    words = f"{type(error).__name__} {error}".upper()
    if "AUTHENTICATION" in words or "SASL" in words:
        return f"check kafka.username and kafka.password_file for {kafka.sasl} (docs/security.md)"
    if "CERTIFICATE" in words or "SSL" in words:
        return "check kafka.ca_file and kafka.tls (docs/security.md)"
    remedy = "start it, or set kafka.bootstrap (BELLWETHER_KAFKA__BOOTSTRAP)"
    if not kafka.tls or kafka.sasl == "none":
        # A broker that wants TLS or a login just hangs up on whoever comes without.
        remedy += "; if it wants TLS or a login, set kafka.tls and kafka.sasl"
    return remedy


def http_token(http: Http) -> str | None:
    """The token that our HTTP endpoints ask for, if they do. Raises SettingsError."""
    token = _secret(http.token, http.token_file, "http.token_file")
    if token is not None and len(token) < LEAST_TOKEN_CHARS:
        raise SettingsError(
            f"setting http.token_file: {http.token_file} holds fewer than "
            f"{LEAST_TOKEN_CHARS} characters; put a longer random token there"
        )
    return token


def _tls_context(section: Kafka | RedisSettings) -> ssl.SSLContext:
    name = "kafka" if isinstance(section, Kafka) else "redis"
    try:
        context = ssl.create_default_context(cafile=_path(section.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"setting {name}.ca_file: {section.ca_file} can't be used "
            f"({_reason(error)}); give a PEM file of certificates"
        ) from None
    if section.cert_file and section.key_file:
        try:
            context.load_cert_chain(section.cert_file, section.key_file, _no_passphrase)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"setting {name}.cert_file: {section.cert_file} with {section.key_file} can't be "
                f"used ({_reason(error)}); give a PEM certificate and its unencrypted PEM key"
            ) from None
    return context


def _no_passphrase() -> NoReturn:
    """Instead of OpenSSL asking for one on the terminal of a service."""
    raise OSError("the key is encrypted")


def _secret(value: SecretStr | None, file: Path | None, setting: str) -> str | None:
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        content = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"setting {setting}: {file} can't be read ({_reason(error)}); "
            "give a readable text file that holds nothing else"
        ) from None
    if not content:
        raise SettingsError(f"setting {setting}: {file} is empty; put the secret there")
    return content


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
