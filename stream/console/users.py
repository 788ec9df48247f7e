"""The users file: who may use the console, as what, with scrypt hashes of their passwords."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from pathlib import Path
from typing import Literal, get_args

import msgspec

from stream.config.settings import SettingsError
from stream.records import DECODE_ERRORS
from stream.runtime.watched_file import stamp

Role = Literal["viewer", "labeller", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From the least to the most: a viewer reads, a labeller also labels, an operator does all."""

USER_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
LEAST_PASSWORD_CHARS = 10
# RFC 7914: 128 x N x r bytes, 32 MiB here, for each guess.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**15, 8, 1
SCRYPT_BYTES = 64 * 1024 * 1024
SALT_BYTES = 16


class User(msgspec.Struct, frozen=True):
    """password is scrypt$N$r$p$salt$hash; token the SHA-256 of an API token, empty without one."""

    name: str
    role: Role
    password: str = ""
    token: str = ""


class UsersFile(msgspec.Struct, frozen=True):
    """secret signs sessions; a new one ends them all."""

    secret: str
    users: tuple[User, ...] = ()


def may(role: Role, needed: Role) -> bool:
    return ROLES.index(role) >= ROLES.index(needed)


def hash_password(password: str) -> str:
    salt = secrets.token_bytes(SALT_BYTES)
    digest = _scrypt(password, salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
    return "$".join(
        ["scrypt", str(SCRYPT_N), str(SCRYPT_R), str(SCRYPT_P), _to_text(salt), _to_text(digest)]
    )


def password_fits(password: str, hashed: str) -> bool:
    """Takes as long for an empty hash as for a real one, so that names can't be guessed by time."""
    parts = hashed.split("$")
    if len(parts) != 6:  # noqa: PLR2004 - as hash_password writes it
        _scrypt(password, b"-" * SALT_BYTES, SCRYPT_N, SCRYPT_R, SCRYPT_P)
        return False
    n, r, p = (int(part) for part in parts[1:4])
    salt, digest = (base64.b64decode(part) for part in parts[4:])
    return hmac.compare_digest(_scrypt(password, salt, n, r, p), digest)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


class Users:
    """The users in a file, read again whenever it changes."""

    def __init__(self, file: Path) -> None:
        """Raises SettingsError when the file can't be read or names nobody."""
        self._file = file
        self._stamp = (-1, -1)
        self._read = UsersFile("")
        self._refresh()
        if not self._read.users:
            raise SettingsError(
                f"setting console.users: {file} names no user; "
                "add one with `bellwether console add-user NAME --role operator`"
            )

    @property
    def secret(self) -> str:
        self._refresh()
        return self._read.secret

    def named(self, name: str) -> User | None:
        self._refresh()
        return next((user for user in self._read.users if user.name == name), None)

    def with_token(self, token: str) -> User | None:
        self._refresh()
        given = token_hash(token)
        return next(
            (
                user
                for user in self._read.users
                if user.token and hmac.compare_digest(user.token, given)
            ),
            None,
        )

    def _refresh(self) -> None:
        try:
            present = stamp(self._file)
        except OSError as error:
            raise _unreadable(self._file, error) from None
        if present != self._stamp:
            self._read = read_users(self._file)
            self._stamp = present


def read_users(file: Path) -> UsersFile:
    """Raises SettingsError when the file can't be read or is no users file."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=UsersFile)
    except OSError as error:
        raise _unreadable(file, error) from None
    except DECODE_ERRORS as error:
        raise SettingsError(
            f"setting console.users: {file} is no users file ({error}); put it right, or move it "
            "away and add the users again"
        ) from None


def add_user(file: Path, user: User) -> User:
    """Put a user into the file, in place of one of that name; only its owner may read it.

    Returns the user as kept: one without a token keeps the token of the one it replaces, since
    programs go on with it.
    """
    known = read_users(file) if file.exists() else UsersFile(secrets.token_urlsafe(32))
    others = [one for one in known.users if one.name != user.name]
    if not user.token:
        before = next((one for one in known.users if one.name == user.name), user)
        user = msgspec.structs.replace(user, token=before.token)
    content = msgspec.json.format(
        msgspec.json.encode(UsersFile(known.secret, (*others, user))), indent=2
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Made for its owner only, and moved in whole: a console never reads half of it.
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        with os.fdopen(handle, "wb") as temporary:
            temporary.write(content + b"\n")
        Path(name).replace(file)
    except OSError as error:
        raise SettingsError(
            f"setting console.users: {file} can't be written ({error.strerror}); "
            "correct the path or its access rights"
        ) from None
    return user


def _unreadable(file: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"setting console.users: {file} can't be read ({error.strerror}); correct the path, or add "
        "a user with `bellwether console add-user NAME --role operator`"
    )


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    # A form may hold lone surrogates, which plain UTF-8 does not write.
    words = password.encode(errors="surrogatepass")
    return hashlib.scrypt(words, salt=salt, n=n, r=r, p=p, maxmem=SCRYPT_BYTES)


def _to_text(content: bytes) -> str:
    return base64.b64encode(content).decode()
