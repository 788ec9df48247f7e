"""Settings of everything that listens or is connected to: Kafka, Redis and our own HTTP port."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

# Section, field: values that may come from the environment or a file of their own, and never
# stand in a settings file, which is copied, committed and shown.
SECRETS = (("kafka", "password"), ("redis", "password"), ("http", "token"))
LEAST_TOKEN_CHARS = 16
LAST_PORT = 65_535
LONGEST_S = 10 * 366 * 86_400
"""Of any span in the settings: ten years, far below what breaks Redis or a clock."""
Sasl = Literal["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _spans_end(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        # Events may lie as far in the future as they like: that one is held against a time alone.
        is_span = name.endswith("_s") and name != "max_future_s" and isinstance(value, int | float)
        if is_span and value > LONGEST_S:
            raise ValueError(f"is more than ten years; write seconds, {LONGEST_S} at most")
        return value


class Kafka(Section):
    bootstrap: str = "localhost:9092"
    group: str = Field("bellwether", min_length=1, description="the consumer group")
    prefix: str = "bellwether."
    partitions: int = Field(4, ge=1, description="of the topics we create ourselves")
    replication: int = Field(-1, ge=-1, le=32_767, description="-1 leaves it to the brokers")
    create_topics: bool = True
    session_timeout_s: float = Field(15.0, ge=6.0, le=90.0, description="Faust takes no longer one")
    tls: bool = False
    ca_file: Path | None = Field(None, description="PEM; the system's authorities if unset")
    cert_file: Path | None = Field(None, description="PEM; our certificate, for mutual TLS")
    key_file: Path | None = Field(None, description="PEM, unencrypted; of cert_file")
    sasl: Sasl = "none"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None

    @field_validator("bootstrap")
    @classmethod
    def _names_brokers(cls, bootstrap: str) -> str:
        for broker in bootstrap.split(","):
            host, _, port = broker.strip().rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) <= LAST_PORT:
                raise ValueError(
                    f"is {bootstrap!r}; write host:port, several with commas between them"
                )
        return bootstrap

    @field_validator("prefix")
    @classmethod
    def _prefix_is_legal(cls, prefix: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]{0,249}", prefix):
            raise ValueError("begins names of Kafka topics: letters, digits, '.', '_' and '-'")
        return prefix

    @field_validator("replication")
    @classmethod
    def _replication_is_possible(cls, replication: int) -> int:
        if replication == 0:
            raise ValueError("is a number of copies, 1 or more; -1 leaves it to the brokers")
        return replication

    @model_validator(mode="after")
    def _is_complete(self) -> Kafka:
        _check_tls(self, self.tls, "kafka.tls = true")
        _check_once(self, "password")
        if self.sasl == "none" and (self.username or self.password or self.password_file):
            raise ValueError(
                "has a login but kafka.sasl is none; "
                "set kafka.sasl to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
            )
        if self.sasl != "none" and not (self.username and (self.password or self.password_file)):
            raise ValueError(
                f"needs kafka.username and kafka.password_file (or BELLWETHER_KAFKA__PASSWORD) "
                f"for {self.sasl}"
            )
        return self


class Redis(Section):
    url: str = "redis://localhost:6379/0"
    prefix: str = "bw:"
    timeout_s: float = Field(5.0, gt=0.0)
    ca_file: Path | None = Field(None, description="PEM; the system's authorities if unset")
    cert_file: Path | None = Field(None, description="PEM; our certificate, for mutual TLS")
    key_file: Path | None = Field(None, description="PEM, unencrypted; of cert_file")
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _url_is_one(cls, url: str) -> str:
        # The value is never repeated in a message: it may hold a password.
        if _split(url) is None:
            raise ValueError(
                "is no address of a Redis: write redis://host:port/0, or rediss:// for TLS; "
                "special characters in a password must be percent-encoded"
            )
        if not _names_a_database(url):
            raise ValueError(
                "may end in the number of a database and in nothing else: redis://host:port/0, "
                "unix:///path?db=0; a password and the like have settings of their own"
            )
        return url

    @model_validator(mode="after")
    def _is_complete(self) -> Redis:
        _check_tls(self, self.url.startswith("rediss:"), "redis.url = 'rediss://…'")
        _check_once(self, "password")
        if self.username and not (self.password or self.password_file):
            raise ValueError(
                "needs redis.password_file (or BELLWETHER_REDIS__PASSWORD) for redis.username"
            )
        if url_password(self.url) and (self.password or self.password_file):
            raise ValueError("has a password in redis.url and another one; keep one")
        return self


class Listener(Section):
    """What listens at host:port, or nowhere."""

    EXAMPLE: ClassVar[str]
    listen: str | None

    @property
    def host(self) -> str:
        return (self.listen or "").rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int((self.listen or "0").rpartition(":")[2])

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, listen: str | None) -> str | None:
        if listen is not None:
            host, _, port = listen.rpartition(":")
            if not host or not port.isdecimal() or not 0 <= int(port) <= LAST_PORT:
                raise ValueError(f"must be host:port, for example {cls.EXAMPLE}")
        return listen


class Http(Listener):
    """Our own health, readiness and metrics; off unless listen is set."""

    EXAMPLE = "127.0.0.1:9464"
    listen: str | None = Field(None, description="host:port of worker or trainer; off if unset")
    token: SecretStr | None = None
    token_file: Path | None = None
    stall_s: float = Field(
        120.0, ge=5.0, description="lag without progress after which health fails"
    )

    @field_validator("token")
    @classmethod
    def _is_long_enough(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < LEAST_TOKEN_CHARS:
            raise ValueError(f"must have {LEAST_TOKEN_CHARS} characters or more")
        return token

    @model_validator(mode="after")
    def _is_closed_to_strangers(self) -> Http:
        _check_once(self, "token")
        if self.listen and not is_loopback(self.host) and not (self.token or self.token_file):
            raise ValueError(
                f"http.listen {self.listen} is open to other machines and needs http.token_file "
                "(or BELLWETHER_HTTP__TOKEN); or listen on 127.0.0.1"
            )
        return self


class Console(Listener):
    """The web console; users are needed as soon as other machines can reach it."""

    EXAMPLE = "127.0.0.1:8765"
    listen: str = EXAMPLE
    url: str | None = Field(None, description="where people reach it; notifications link to it")
    users: Path | None = Field(None, description="made by `bellwether console add-user`")
    prices: Path | None = Field(None, description="daily closes, drawn beside a ticker's tone")

    @field_validator("url")
    @classmethod
    def _is_a_web_address(cls, url: str | None) -> str | None:
        if url and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url):
            raise ValueError("must be an address such as https://bellwether.example.com")
        return url and url.rstrip("/")

    @model_validator(mode="after")
    def _is_closed_to_strangers(self) -> Console:
        if not is_loopback(self.host) and not self.users:
            raise ValueError(
                f"console.listen {self.listen} is open to other machines and needs console.users "
                "(see `bellwether console add-user`); or listen on 127.0.0.1"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on host. Names other than localhost can't."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_password(url: str) -> str | None:
    parts = _split(url)
    return parts.password if parts else None


def literal_secret(values: dict[str, Any]) -> str | None:
    """The first secret that stands in values of a settings file, as section.field."""
    for section, field in SECRETS:
        if isinstance(inner := values.get(section), dict) and field in inner:
            return f"{section}.{field}"
    redis = values.get("redis")
    url = redis.get("url") if isinstance(redis, dict) else None
    return "redis.url" if isinstance(url, str) and url_password(url) else None


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"redis", "rediss", "unix"} and parts.port != 0
    except ValueError:
        return None
    return parts if known and (parts.hostname or parts.scheme == "unix") else None


def _names_a_database(url: str) -> bool:
    """Whether nothing but a database's number follows the server.

    redis-py takes database 0 for a name, and makes of each parameter one of its own arguments.
    """
    parts = urlsplit(url)
    of_path = parts.scheme == "unix" or re.fullmatch(r"/?|/[0-9]{1,9}/?", parts.path, re.ASCII)
    return bool(of_path and re.fullmatch(r"|db=[0-9]{1,9}", parts.query, re.ASCII))


def _check_tls(section: Kafka | Redis, tls: bool, remedy: str) -> None:
    if (section.ca_file or section.cert_file) and not tls:
        raise ValueError(f"has certificates but no TLS; set {remedy}")
    if bool(section.cert_file) != bool(section.key_file):
        raise ValueError("cert_file and key_file go together; give both or neither")


def _check_once(section: Section, secret: str) -> None:
    if getattr(section, secret) and getattr(section, f"{secret}_file"):
        raise ValueError(f"{secret} and {secret}_file are both set; keep one")
