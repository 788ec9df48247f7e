import getpass
import os

import click
import pytest

from stream.commands import alerts, feedback, models
from stream.console.sessions import Sessions
from stream.runtime.login import login_name


@pytest.fixture(params=[KeyError("getpwuid(): uid not found"), OSError("No username set")])
def nameless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As in a container that runs as a number; Python before and from 3.13 says so differently."""

    def fails() -> str:
        raise request.param

    monkeypatch.setattr(getpass, "getuser", fails)
    return f"uid-{os.getuid()}"


def test_a_number_without_a_name_is_somebody_too(nameless: str) -> None:
    assert login_name() == nameless


@pytest.mark.parametrize(
    "command", [alerts.ack, feedback.feedback, models.promote], ids=lambda one: one.name
)
def test_commands_go_by_it(nameless: str, command: click.Command) -> None:
    (author,) = [one for one in command.params if one.name == "author"]

    assert author.get_default(click.Context(command)) == nameless


def test_the_console_starts_without_a_name(nameless: str) -> None:
    sessions = Sessions(users=None)

    identity = sessions.identify(sessions.for_owner())
    assert identity
    assert identity.name == nameless
