"""How connections are built: complete or refused with a reason, and no secret in any message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError
from redis.asyncio import Redis as Client
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisSlowError

from stream.commands.options import with_redis
from stream.config.connections import Redis
from stream.config.settings import SettingsError, load_settings
from stream.connections.clients import (
    RESTART_S,
    Reconnecting,
    http_token,
    kafka_arguments,
    kafka_fault,
    redis_client,
    redis_remedy,
    stop_consumer,
)
from stream.runtime.errors import StartError
from tests.redis_server import RedisServer

SECRET = "swordfish-1234567"


def write(folder: Path, text: str) -> Path:
    path = folder / "bellwether.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"[kafka]\npassword = '{SECRET}'\n", "BELLWETHER_KAFKA__PASSWORD"),
        (f"[redis]\npassword = '{SECRET}'\n", "BELLWETHER_REDIS__PASSWORD"),
        (f"[redis]\nurl = 'redis://u:{SECRET}@h:1/0'\n", "BELLWETHER_REDIS__URL"),
        (f"[http]\ntoken = '{SECRET}'\n", "BELLWETHER_HTTP__TOKEN"),
        (f"[redis]\nurl = 'redis://u:{SECRET}/x@h:1/0'\n", "setting redis.url"),
        (f"[redis]\nurl = 'http://u:{SECRET}'\n", "setting redis.url"),
        ("[kafka]\nsasl = 'PLAIN'\n", "kafka.username"),
        ("[kafka]\nusername = 'u'\n", "kafka.sasl"),
        ("[kafka]\nca_file = 'ca.pem'\n", "kafka.tls = true"),
        ("[kafka]\ntls = true\ncert_file = 'c.pem'\n", "key_file"),
        ("[redis]\nca_file = 'ca.pem'\n", "rediss://"),
        ("[redis]\nusername = 'u'\n", "redis.password_file"),
        ("[http]\nlisten = '0.0.0.0:9464'\n", "http.token_file"),
        ("[http]\nlisten = '9464'\n", "host:port"),
    ],
)
def test_a_wrong_setting_is_named_and_a_secret_is_not(
    tmp_path: Path, text: str, named: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text))
    assert named in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BELLWETHER_REDIS__URL", f"redis://u:{SECRET}/x@h:1"),
        ("BELLWETHER_SOURCES", f"not JSON {SECRET}"),
        ("BELLWETHER_HTTP__TOKEN", "short-secret"),
    ],
)
def test_a_wrong_variable_is_one_sentence_without_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(None)
    assert value not in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_secrets_come_from_the_environment_and_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BELLWETHER_KAFKA__PASSWORD", SECRET)
    monkeypatch.setenv("BELLWETHER_REDIS__PASSWORD", SECRET)
    settings = load_settings(write(tmp_path, "[kafka]\nsasl = 'SCRAM-SHA-512'\nusername = 'u'\n"))
    assert kafka_arguments(settings.kafka)["sasl_plain_password"] == SECRET
    client = redis_client(settings.redis)
    assert client.connection_pool.connection_kwargs["password"] == SECRET
    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()


@pytest.mark.redis
async def test_a_password_that_changes_in_its_file_is_good_for_the_next_connection(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("the-first\n")
    settings = Redis(url=own_redis.url, username="default", password_file=file)
    async with Client.from_url(own_redis.url) as admin:
        await admin.config_set("requirepass", "the-first")
        async with redis_client(settings) as client:
            assert await client.ping()
            await admin.config_set("requirepass", "the-second")
            await admin.client_kill_filter(_type="normal", skipme=True)
            file.unlink()
            with pytest.raises(AuthenticationError, match=r"redis\.password_file"):
                await client.ping()
            file.write_text("the-second\n")
            assert await client.ping()


@pytest.mark.redis
async def test_a_user_in_the_address_logs_in_with_the_password_of_a_file(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("known\n")
    async with Client.from_url(own_redis.url) as admin:
        await admin.execute_command("ACL", "SETUSER", "bob@desk", "on", ">known", "+@all")
    url = own_redis.url.replace("://", "://bob%40desk@")
    async with redis_client(Redis(url=url, password_file=file)) as client:
        assert await client.acl_whoami() == "bob@desk"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "can't be read"), ("\n", "is empty"), (b"\xff\xfe", "can't be")]
)
def test_a_password_file_that_holds_none_is_named(
    tmp_path: Path, content: str | bytes | None, said: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    settings = load_settings(
        write(
            tmp_path,
            f"[kafka]\nsasl = 'PLAIN'\nusername = 'u'\npassword_file = '{file}'\n"
            f"[http]\ntoken_file = '{file}'\n",
        )
    )
    with pytest.raises(SettingsError, match=r"kafka\.password_file") as caught:
        kafka_arguments(settings.kafka)
    assert said in str(caught.value)
    with pytest.raises(SettingsError, match=r"http\.token_file"):
        http_token(settings.http)


def test_certificates_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    settings = load_settings(
        write(
            tmp_path,
            f"[kafka]\ntls = true\nca_file = '{tmp_path}/ca.pem'\n"
            f"[redis]\nurl = 'rediss://h:1/0'\nca_file = '{tmp_path}/absent.pem'\n",
        )
    )
    with pytest.raises(SettingsError, match=r"kafka\.ca_file"):
        kafka_arguments(settings.kafka)
    with pytest.raises(SettingsError, match=r"redis\.ca_file: .*absent\.pem"):
        redis_client(settings.redis)


def test_names_are_verified_and_a_plain_connection_stays_plain(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "[kafka]\ntls = true\n"))
    arguments = kafka_arguments(settings.kafka)
    assert arguments["security_protocol"] == "SSL"
    assert arguments["ssl_context"].check_hostname
    plain = kafka_arguments(load_settings(None).kafka)
    assert plain == {"bootstrap_servers": "localhost:9092", "security_protocol": "PLAINTEXT"}


class RedisOf:
    """Answers each connection by a function of its own, given the command; None answers nothing."""

    def __init__(self, *answers: Callable[[bytes], bytes | None]) -> None:
        self.answers = answers
        self.asked: list[int] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.asked)
        self.asked.append(0)
        while line := await reader.readline():
            command, *_ = [await _bulk(reader) for _ in range(int(line[1:]))]
            if command == b"SET":
                self.asked[number] += 1
                answer = self.answers[min(number, len(self.answers) - 1)](command)
                if answer == b"":
                    break
                writer.write(answer or b"")
            else:
                writer.write(b"+OK\r\n")
        writer.close()


@asynccontextmanager
async def client_of(answers: RedisOf) -> AsyncIterator[Client]:
    async with await asyncio.start_server(answers, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"redis://127.0.0.1:{port}/0"
        async with redis_client(Redis(url=url, timeout_s=0.2)) as client:
            yield client


async def test_a_primary_that_became_a_replica_is_left_for_the_one_the_address_leads_to() -> None:
    """Also inside a script, which wraps the words."""
    words = b"READONLY You can't write against a read only replica.\r\n"
    answers = RedisOf(
        lambda _: b"-" + words, lambda _: b"-ERR script: -" + words, lambda _: b"+OK\r\n"
    )
    async with client_of(answers) as client:
        for _ in range(2):
            with pytest.raises(ResponseError, match="read only"):
                await client.set("a", 1)
        assert await client.set("a", 1)
    assert answers.asked == [1, 1, 1]


async def test_a_redis_that_hangs_counts_as_failed_after_the_time_that_is_set() -> None:
    answers = RedisOf(lambda _: None)
    async with client_of(answers) as client:
        with pytest.raises(RedisSlowError):
            await client.set("a", 1)
    assert answers.asked == [1]


class RestartingRedis(RedisOf):
    """Hangs up on as many connections as it is told, as one does that is not up yet."""

    def __init__(self, hang_ups: int) -> None:
        super().__init__(lambda _: b"+OK\r\n")
        self.hang_ups = hang_ups

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.hang_ups:
            self.hang_ups -= 1
            writer.close()
        else:
            await super().__call__(reader, writer)


async def command_against(redis: RestartingRedis) -> str:
    async def ask(client: Client, _: object) -> str:
        return "answered" if await client.set("a", 1) else ""

    async with await asyncio.start_server(redis, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = load_settings(None)
        address = Redis(url=f"redis://127.0.0.1:{port}/0")
        return await with_redis(settings.model_copy(update={"redis": address}), ask)


async def test_a_command_waits_for_a_redis_that_restarts() -> None:
    redis = RestartingRedis(hang_ups=5)
    assert await command_against(redis) == "answered"
    assert redis.hang_ups == 0


async def test_a_command_does_not_wait_longer_than_a_restart_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream.commands.options.RESTART_S", 0.2)
    redis = RestartingRedis(hang_ups=10_000)
    with pytest.raises(StartError, match=r"Redis can't be reached .*; start it, or set redis\.url"):
        await command_against(redis)


async def test_a_login_that_redis_refuses_is_not_tried_again() -> None:
    tries = 0

    async def refused() -> None:
        nonlocal tries
        tries += 1
        raise AuthenticationError("invalid username-password pair or user is disabled.")

    async def ignored(_: Exception) -> None: ...

    with pytest.raises(AuthenticationError):
        await Reconnecting(RESTART_S).call_with_retry(refused, ignored)
    assert tries == 1


async def test_a_service_hears_of_a_lost_redis_at_once() -> None:
    tries = 0

    async def lost() -> None:
        nonlocal tries
        tries += 1
        raise RedisConnectionError("lost")

    async def ignored(_: Exception) -> None: ...

    with pytest.raises(RedisConnectionError):
        await Reconnecting(0.0).call_with_retry(lost, ignored)
    assert tries == 2


async def test_a_connection_that_was_lost_is_made_anew_without_a_word() -> None:
    answers = RedisOf(lambda _: b"", lambda _: b"+OK\r\n")
    async with client_of(answers) as client:
        assert await client.set("a", 1)
    assert answers.asked == [1, 1]


async def _bulk(reader: asyncio.StreamReader) -> bytes:
    length = int((await reader.readline())[1:])
    return (await reader.readexactly(length + 2))[:-2]


async def test_a_port_that_never_answers_is_reported_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("stream.connections.clients.create_conn", hang)
    said = await kafka_fault(load_settings(None).kafka, OSError())
    assert said.startswith("(TimeoutError); ")


def test_a_database_that_redis_does_not_have_is_no_redis_that_is_down() -> None:
    assert "end of redis.url" in redis_remedy(ResponseError("DB index is out of range"))
    assert redis_remedy(ConnectionError("refused")).startswith("start it")


async def _hangs() -> None:
    await asyncio.Event().wait()


async def _is_cancelled() -> None:
    raise asyncio.CancelledError


async def _fails() -> None:
    raise KafkaConnectionError


@pytest.mark.parametrize("stop", [_hangs, _is_cancelled, _fails])
async def test_a_consumer_that_does_not_stop_as_it_should_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, stop: Callable[[], Awaitable[None]]
) -> None:
    """As aiokafka's may do without Kafka."""
    monkeypatch.setattr("stream.connections.clients.STOP_S", 0.01)
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    monkeypatch.setattr(consumer, "stop", stop)
    async with asyncio.timeout(10.0):
        await stop_consumer(consumer)
