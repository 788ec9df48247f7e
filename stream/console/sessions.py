"""Sessions: signed cookies, so that any console with the same users file knows them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict

import msgspec

from stream.console.users import Role, User, Users, password_fits
from stream.runtime.login import login_name

SESSION_S: dict[Role, int] = {"viewer": 30 * 86_400, "labeller": 12 * 3_600, "operator": 12 * 3_600}
"""A viewer can change nothing, and a screen on the wall must not ask for a password at night."""
LOGIN_ATTEMPTS = 5
LOGIN_WINDOW_S = 300.0
REMEMBERED_CLIENTS = 10_000


class Identity(msgspec.Struct, frozen=True):
    """Who asks. csrf must come with each of their changes; empty where a token was given."""

    name: str
    role: Role
    csrf: str


class _Claim(msgspec.Struct, frozen=True):
    name: str
    begun: int
    nonce: str


class Sessions:
    """users None: everyone who reaches us is the one who started us, an operator."""

    def __init__(self, users: Users | None) -> None:
        self._users = users
        self._own_secret = secrets.token_urlsafe(32)
        self._owner = User(login_name(), "operator")

    @property
    def open(self) -> bool:
        return self._users is None

    def log_in(self, name: str, password: str) -> str | None:
        """A session's cookie; None for a wrong name or password, which are not told apart.

        Blocks for the tenth of a second that a hash takes.
        """
        user = self._users.named(name) if self._users else None
        if not password_fits(password, user.password if user else "") or user is None:
            return None
        return self._issue(user)

    def for_owner(self) -> str:
        """The session that an open console gives unasked."""
        return self._issue(self._owner)

    def identify(self, cookie: str) -> Identity | None:
        """Who a cookie belongs to, while it is signed by us, in time, and its user still there."""
        body, _, signature = cookie.rpartition(".")
        try:
            claim = msgspec.json.decode(base64.urlsafe_b64decode(body), type=_Claim)
        except (ValueError, msgspec.DecodeError):
            return None
        user = self._user(claim.name)
        if user is None or claim.begun + SESSION_S[user.role] < time.time():
            return None
        if not same(signature, self._sign(user, body)):
            return None
        return Identity(user.name, user.role, self._sign(user, f"csrf.{body}"))

    def identify_token(self, token: str) -> Identity | None:
        user = self._users.with_token(token) if self._users else None
        return Identity(user.name, user.role, "") if user else None

    def login_token(self, nonce: str) -> str:
        """What the login form must send back, bound to a cookie that holds nonce."""
        return _signature(self._secret, f"login.{nonce}")

    def _issue(self, user: User) -> str:
        claim = _Claim(user.name, int(time.time()), secrets.token_urlsafe(9))
        body = base64.urlsafe_b64encode(msgspec.json.encode(claim)).decode()
        return f"{body}.{self._sign(user, body)}"

    def _user(self, name: str) -> User | None:
        if self._users is None:
            return self._owner if name == self._owner.name else None
        return self._users.named(name)

    def _sign(self, user: User, words: str) -> str:
        # With the password in the key, a new password ends the sessions of the old one.
        return _signature(self._secret + user.password, words)

    @property
    def _secret(self) -> str:
        return self._users.secret if self._users else self._own_secret


class LoginLimit:
    """At most LOGIN_ATTEMPTS failures in LOGIN_WINDOW_S, by client address and by user name."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def blocked_s(self, *keys: str) -> float:
        """Seconds until the next attempt may be made; 0 now."""
        return max(self._blocked_s(key) for key in keys)

    def note_failure(self, *keys: str) -> None:
        for key in keys:
            recent = [*self._recent(key), time.monotonic()]
            self._failures[key] = recent[-LOGIN_ATTEMPTS:]
            self._failures.move_to_end(key)
        while len(self._failures) > REMEMBERED_CLIENTS:
            self._failures.popitem(last=False)

    def forget(self, *keys: str) -> None:
        for key in keys:
            self._failures.pop(key, None)

    def _blocked_s(self, key: str) -> float:
        recent = self._recent(key)
        if len(recent) < LOGIN_ATTEMPTS:
            return 0.0
        return recent[0] + LOGIN_WINDOW_S - time.monotonic()

    def _recent(self, key: str) -> list[float]:
        begin = time.monotonic() - LOGIN_WINDOW_S
        return [at for at in self._failures.get(key, []) if at > begin]


def same(given: str, ours: str) -> bool:
    """In a time that tells nothing. given may hold bytes of a header that are no UTF-8."""
    return hmac.compare_digest(given.encode(errors="replace"), ours.encode())


def _signature(secret: str, words: str) -> str:
    written = words.encode(errors="replace")
    digest = hmac.new(secret.encode(), written, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
