"""The middleware of every request: security headers, host, login, and the CSRF token of changes."""

from __future__ import annotations

import logging
from urllib.parse import SplitResult, quote, urlsplit

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from stream.config.connections import is_loopback
from stream.config.settings import SettingsError
from stream.console.errors import Fault, sentence_of, status_of
from stream.console.sessions import Identity, Sessions, same
from stream.console.users import Role, may

logger = logging.getLogger(__name__)

COOKIE = "bellwether"
CSRF_HEADER = "X-CSRF-Token"
CHANGES = {"POST", "PUT", "PATCH", "DELETE"}
OPEN_PATHS = ("/login", "/static/", "/alive")
"""Reachable without a session: nothing there tells of the system."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Server": "bellwether",
}
IDENTITY: web.RequestKey[Identity] = web.RequestKey("identity", Identity)


def guard(sessions: Sessions, *, only_here: bool) -> Middleware:
    """The middleware. only_here: other host names than this machine's are turned away.

    A page elsewhere can have a browser on this machine send us requests under a name of its own.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if only_here and not is_loopback(_split(f"//{request.host}").hostname or ""):
            return fault(421, "ask for localhost: this console is for this machine only")
        if request.path.startswith(OPEN_PATHS):
            return await _answered(request, handler)
        try:
            identity, cookie = _identify(request, sessions)
        except SettingsError as error:
            return _without_users(error)
        if identity is None:
            return _not_logged_in(request)
        if request.method in CHANGES and identity.csrf and not _is_meant(request, identity):
            return fault(403, "the page is too old or not ours; load it again")
        request[IDENTITY] = identity
        response = await _answered(request, handler)
        if cookie and not response.prepared:
            set_cookie(request, response, COOKIE, cookie)
        return response

    return check


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For on_response_prepare: every answer carries them, streams and errors included."""
    response.headers.update(HEADERS)
    # Scripts and styles are asked for each time and seldom sent; what tells of the system is kept
    # nowhere.
    kept = "no-cache" if request.path.startswith("/static/") else "no-store"
    response.headers["Cache-Control"] = kept


def set_cookie(request: web.Request, response: web.StreamResponse, name: str, value: str) -> None:
    # A proxy that speaks TLS says so; whoever forges it only gets a cookie that is kept stricter.
    secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
    response.set_cookie(name, value, httponly=True, samesite="Strict", secure=secure, path="/")


def require(identity: Identity, role: Role) -> None:
    """Raises HTTPForbidden for an identity that may not."""
    if not may(identity.role, role):
        raise web.HTTPForbidden(
            text=f"this needs the role {role}; {identity.name} is {identity.role}"
        )


def fault(status: int, sentence: str) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(Fault(sentence)), content_type="application/json"
    )


def _identify(request: web.Request, sessions: Sessions) -> tuple[Identity | None, str]:
    """Who asks, and a cookie to be given; only an open console gives one unasked."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return sessions.identify_token(token), ""
    if identity := sessions.identify(request.cookies.get(COOKIE, "")):
        return identity, ""
    # A change must come with the token of a page that was shown, so it never gets a session.
    if sessions.open and request.method not in CHANGES:
        cookie = sessions.for_owner()
        return sessions.identify(cookie), cookie
    return None, ""


def _is_meant(request: web.Request, identity: Identity) -> bool:
    origin = request.headers.get("Origin")
    if origin is not None and _split(origin).netloc != request.host:
        return False
    return same(request.headers.get(CSRF_HEADER, ""), identity.csrf)


def _split(address: str) -> SplitResult:
    """An address's parts, all empty where it is none, such as "//["."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _not_logged_in(request: web.Request) -> web.StreamResponse:
    if request.path.startswith("/api/") or request.path == "/live" or request.method in CHANGES:
        return fault(401, "not logged in; load the page again and log in")
    raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs)}")


def _without_users(error: SettingsError) -> web.Response:
    """The users file was damaged meanwhile. Where it lies is nothing for whoever asks."""
    logger.error("nobody is let in: %s", error)
    return fault(503, "nobody can be let in now; the console's log says why")


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or not request.path.startswith("/api/"):  # noqa: PLR2004
            raise
        return fault(error.status, error.text or error.reason)
    except Exception as error:
        if isinstance(error, SettingsError) and IDENTITY not in request:
            return _without_users(error)
        status = status_of(error)
        if status is None:
            logger.exception("%s %s failed", request.method, request.path)
            return fault(500, "the console failed at this; its log says how")
        return fault(status, sentence_of(error))
