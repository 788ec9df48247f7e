"""What goes wrong with a call of the HTTP API: errors as HTTP statuses, and in sentences."""

from __future__ import annotations

import msgspec
from aiokafka.errors import KafkaError
from redis.exceptions import ConnectionError as RedisAwayError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisSlowError

from models.spec import ModelError
from stream.alerts.lifecycle import AbsentAlertError, LifecycleError
from stream.alerts.matchers import MatcherError
from stream.alerts.silences import AbsentSilenceError, SilenceError
from stream.config.settings import SettingsError
from stream.rules.rule_error import RuleError
from stream.runtime.errors import StartError


class NotFoundError(Exception):
    """What a path names is not there; the message says where to look."""


class RefusedError(Exception):
    """The request can be read and still not be done; the message says why."""


class Fault(msgspec.Struct, frozen=True):
    """An error as callers see it."""

    error: str


def status_of(error: Exception) -> int | None:
    """The HTTP status of an error that is no fault of ours; None for one that is."""
    if isinstance(error, NotFoundError | AbsentAlertError | AbsentSilenceError):
        return 404
    if isinstance(
        error,
        RefusedError | LifecycleError | SilenceError | ModelError | SettingsError | RuleError,
    ):
        return 409
    if isinstance(error, MatcherError | msgspec.ValidationError):
        return 422
    if isinstance(error, msgspec.DecodeError):
        return 400
    if isinstance(error, RedisError | KafkaError | StartError | OSError | TimeoutError):
        return 503
    return None


def sentence_of(error: Exception) -> str:
    if isinstance(error, RedisAwayError | RedisSlowError):
        return f"Redis can't be reached ({error}); nothing was changed, try again when it is back"
    if isinstance(error, RedisError):
        return f"Redis refuses this ({error}); `bellwether doctor` looks at it"
    if isinstance(error, TimeoutError | KafkaError):
        return "Kafka does not confirm; look at Health, and try again when it is back"
    return str(error)
