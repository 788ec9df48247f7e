"""One typed configuration: defaults, then a TOML file, then BELLWETHER_ environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableVariableError

from stream.config.connections import Console, Http, Kafka, Redis, Section, literal_secret
from stream.config.faults import not_json, sentences
from stream.config.queues import DEFAULT_QUEUES, Queue, check_places
from stream.config.signals import Signals
from stream.config.spelling import meant
from stream.config.subjects import Novelty, Subjects
from stream.config.toml_text import TomlError, parse_toml
from stream.names import TOPIC_NAME, SourceKind, Topics

MOST_KEPT = 1_000_000_000
LANGUAGE_CODE = re.compile("[a-z]{2,3}")


class SettingsError(Exception):
    """A setting is wrong; the message names the setting and says what to do."""


class Fields(Section):
    """Where each field of an event is found: a dotted name or a JMESPath expression."""

    id: str = "id"
    text: str = "text"
    title: str = "title"
    time: str = "time"
    author: str = "author"
    tickers: str = "tickers"
    customer: str = "customer"
    lang: str = "lang"


class Source(Section):
    topic: str
    kind: SourceKind
    fields: Fields = Fields()

    @field_validator("topic")
    @classmethod
    def _topic_is_legal(cls, topic: str) -> str:
        if not TOPIC_NAME.fullmatch(topic) or topic in {".", ".."}:
            raise ValueError(
                "is no Kafka topic name: letters, digits, '.', '_' and '-', 249 at most"
            )
        return topic


class Model(Section):
    path: Path | None = Field(None, description="a checkpoint folder; the shipped one if unset")
    registry: str | None = Field(
        None,
        description="folder or fsspec address of the versions; its champion goes before path",
    )
    encoder: str | None = Field(
        None, description="a Hugging Face id or folder; else the checkpoint's"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    threads: int = Field(0, ge=0, description="of the model on the CPU; 0 chooses")
    languages: tuple[str, ...] = Field(
        ("en",), description="ISO 639-1 codes that the model reads; empty for all"
    )

    @field_validator("languages")
    @classmethod
    def _languages_are_codes(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        for code in languages:
            if not LANGUAGE_CODE.fullmatch(code):
                raise ValueError(f"holds {code!r}; write ISO 639-1 codes, such as en or de")
        return languages

    shadow_share: float = Field(
        0.1, ge=0.0, le=1.0, description="of the events, answered by a challenger too; 0 for none"
    )
    max_batch_tokens: int = Field(
        0, ge=0, description="of a batch, at most; 0 takes what suits the device"
    )
    max_waiting: int = Field(2048, ge=1, description="records in work before a source is paused")


class Limits(Section):
    """What an event may look like before it is a dead letter."""

    max_record_bytes: int = Field(1_000_000, ge=1_000, le=4_000_000)
    max_text_chars: int = Field(20_000, ge=100, description="longer texts are cut, not refused")
    max_future_s: float = Field(86_400.0, ge=0.0)
    oldest_time: str = "1990-01-01T00:00:00Z"


DEFAULT_SOURCES = (
    Source(topic="news", kind="news"),
    Source(topic="social", kind="social"),
    Source(topic="tickets", kind="ticket"),
)


class Alerting(Section):
    rules: Path | None = Field(None, description="a rule file; the shipped one if unset")
    quiet_s: float = Field(
        3600.0, gt=0.0, description="event time without a match that ends an episode"
    )
    keep_s: int = Field(7 * 86_400, ge=60, description="how long Redis keeps an alert that is over")
    replay_s: int = Field(
        86_400, ge=60, description="how long Redis recognises a redelivered event"
    )
    stream_length: int = Field(10_000, ge=1, le=MOST_KEPT)
    slow_rule_ms: float = Field(
        5.0, gt=0.0, description="a rule that takes longer on one event is counted and named"
    )
    routes: Path | None = Field(None, description="a routing file; without one nobody is notified")
    flapping_episodes: int = Field(
        4, ge=2, description="episodes within the window that mark an alert as flapping"
    )
    flapping_window_s: float = Field(21_600.0, gt=0.0, description="in event time")


class Worker(Section):
    max_poll_records: int = Field(500, ge=1, le=5_000)
    start_timeout_s: float = Field(
        60.0, ge=0.0, description="how long to wait for Kafka and Redis before giving up"
    )
    drain_s: float = Field(20.0, ge=1.0, description="after SIGTERM; then the process ends anyway")


class Trainer(Section):
    folder: Path = Field(Path("bellwether-trainer"), description="where the label log is kept")
    refit_after_labels: int = Field(
        20, ge=1, description="new labels that bring a fit of the heads"
    )
    refit_after_s: float = Field(
        15.0, gt=0.0, description="or seconds without a further label, whichever is first"
    )
    deep_after_labels: int = Field(
        1_000, ge=0, description="labels that bring a fit of the encoder; 0 never"
    )
    deep_after_s: float = Field(
        86_400.0, ge=0.0, description="seconds after the last fit of the encoder; 0 never"
    )
    drift_above: float = Field(
        0.25, ge=0.0, description="stability index that brings a fit of the encoder; 0 never"
    )
    tensorboard: Path | None = Field(
        None, description="where fits of the encoder write what TensorBoard shows"
    )
    max_loss: float = Field(
        0.03, ge=0.0, le=1.0, description="accuracy that a protected slice may lose by chance"
    )
    max_suspects: float = Field(
        0.16, ge=0.0, le=1.0, description="share of labels that may contradict the others"
    )
    shadow_events: int = Field(
        0, ge=0, description="answers in shadow before a new version is champion; 0 asks for none"
    )
    shadow_s: float = Field(3_600.0, gt=0.0, description="seconds that it has for them")
    shadow_max_change: float = Field(
        0.2, ge=0.0, le=1.0, description="share of a head's answers in shadow that may differ"
    )
    remember_events: int = Field(
        1_000_000,
        ge=1_000,
        le=MOST_KEPT,
        description="events whose texts are kept for later labels",
    )


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="BELLWETHER_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    sources: Annotated[tuple[Source, ...], Field(min_length=1)] = DEFAULT_SOURCES
    model: Model = Model()
    limits: Limits = Limits()
    subjects: Subjects = Subjects()
    novelty: Novelty = Novelty()
    queues: Annotated[tuple[Queue, ...], Field(min_length=1)] = DEFAULT_QUEUES
    alerting: Alerting = Alerting()
    signals: Signals = Signals()
    worker: Worker = Worker()
    trainer: Trainer = Trainer()
    http: Http = Http()
    console: Console = Console()

    @property
    def topics(self) -> Topics:
        return Topics(self.kafka.prefix)

    @property
    def most_in_work(self) -> int:
        """Records of a source that a worker has in work at a time; see processing/admission.py."""
        return max(self.model.max_waiting, self.worker.max_poll_records)

    @model_validator(mode="after")
    def _sources_are_distinct(self) -> Settings:
        names = [source.topic for source in self.sources]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"sources: topic {min(twice)!r} is listed twice; keep one entry")
        own = {name for name in names if name.startswith(self.kafka.prefix)}
        if own:
            raise ValueError(
                f"sources: topic {min(own)!r} begins with kafka.prefix {self.kafka.prefix!r}, "
                "which marks our own outputs; rename the topic or change the prefix"
            )
        return self

    @model_validator(mode="after")
    def _queues_are_places(self) -> Settings:
        check_places(self.queues)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def load_settings(path: Path | None) -> Settings:
    """Settings from path, else from bellwether.toml where it exists, else the defaults.

    Raises SettingsError, one sentence a fault, naming file and setting or variable.
    """
    file = path or Path("bellwether.toml")
    values: dict[str, Any] = {}
    if path is not None or file.exists():
        try:
            values, _ = parse_toml(file.read_bytes())
        except OSError as error:
            raise SettingsError(
                f"settings file {file}: can't be read ({error.strerror}); "
                "give --config a readable file"
            ) from None
        except TomlError as error:
            raise SettingsError(f"settings file {file}: {error}") from None
    if secret := literal_secret(values):
        raise SettingsError(
            f"setting {secret}: a secret may not stand in {file}; set "
            f"BELLWETHER_{secret.upper().replace('.', '__')}, or name a file of its own "
            "(kafka.password_file, redis.password_file, http.token_file)"
        )
    _check_variables(os.environ)
    try:
        return Settings(**values)
    except UnreadableVariableError as error:
        raise SettingsError(not_json(error.__cause__, os.environ)) from None
    except ValidationError as error:
        raise SettingsError(sentences(error.errors(), Settings)) from None


def _check_variables(environment: Iterable[str]) -> None:
    """Raises SettingsError for a variable of a section that there is none of, or short of a "_".

    Others without "__" may be there for another reason: Kubernetes sets BELLWETHER_PORT.
    """
    short = {
        f"{section}_{name}": f"{section}__{name}"
        for section, field in Settings.model_fields.items()
        for name in getattr(field.annotation, "model_fields", ())
    }
    prefix = str(Settings.model_config["env_prefix"])
    for name in environment:
        if not name.upper().startswith(prefix):
            continue
        said = name.upper().removeprefix(prefix).lower()
        if said in short:
            raise SettingsError(
                f"environment variable {name}: two underscores stand for the dot; write "
                f"{prefix}{short[said].upper()}"
            )
        section, nested, _ = said.partition("__")
        if nested and section not in Settings.model_fields:
            sections = (one.upper() for one in Settings.model_fields)
            hint = meant(section.upper(), sections, otherwise="see docs/settings.md")
            raise SettingsError(
                f"environment variable {name}: no section of settings is called "
                f"{section.upper()!r}; {hint}"
            )
