"""Who is put into the users file, and what stays of who was there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from click.testing import CliRunner

from stream.commands import console
from stream.config.settings import load_settings
from stream.console.users import read_users, token_hash


def add(folder: Path, *arguments: str) -> dict[str, Any]:
    ran = CliRunner().invoke(
        console.console,
        ["add-user", "ann", "--file", str(folder / "users.json"), "--json", *arguments],
        input="a long password\n",
        obj=load_settings(None),
    )
    assert ran.exit_code == 0, ran.output
    record: dict[str, Any] = orjson.loads(ran.output)
    return record


def test_a_known_user_keeps_the_token_until_another_is_made_and_is_told(tmp_path: Path) -> None:
    assert "kept" not in add(tmp_path, "--role", "viewer")
    first = add(tmp_path, "--role", "viewer", "--token")["token"]
    again = add(tmp_path, "--role", "operator")
    assert "token" not in again
    assert "API token" in again["kept"]
    (ann,) = read_users(tmp_path / "users.json").users
    assert (ann.role, ann.token) == ("operator", token_hash(first))
    second = add(tmp_path, "--role", "operator", "--token")
    assert "kept" not in second
    (ann,) = read_users(tmp_path / "users.json").users
    assert ann.token == token_hash(second["token"]) != token_hash(first)
