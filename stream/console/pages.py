"""Pages: shells with a title and a script that fills them from the API, and the login."""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from importlib.resources import files
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from stream.console.guard import COOKIE, IDENTITY, set_cookie
from stream.console.sessions import LoginLimit, Sessions, same

LOGIN_COOKIE = "bellwether-login"
MAX_PASSWORD_CHARS = 1_000
_IMPORT = re.compile(r'^import [^;]*? from "\./([^"]+)";', re.MULTILINE)


class Page(NamedTuple):
    """script is the module in static/ that fills it; nav marks the entry of the navigation."""

    path: str
    title: str
    script: str
    nav: str


PAGES = (
    Page("/alerts", "Alerts", "alerts.js", "alerts"),
    Page("/alerts/{id}", "Alert", "alert.js", "alerts"),
    Page("/tickets", "Tickets", "review.js", "tickets"),
    Page("/teach", "Teach", "teach.js", "teach"),
    Page("/markets", "Markets", "markets.js", "markets"),
    Page("/subjects/{kind}/{id}", "Subject", "subject.js", "markets"),
    Page("/models", "Models", "models.js", "models"),
    Page("/health", "Health", "health.js", "health"),
)
NAV = tuple((page.path, page.title, page.nav) for page in PAGES if "{" not in page.path)


class Pages:
    """Handlers of everything that is HTML."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._limit = LoginLimit()
        jinja = Environment(
            loader=PackageLoader("stream.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # Compiled now, so that the first reader does not wait for it.
        names = ("base.html", "page.html", "login.html", "missing.html")
        _, self._page, self._login_page, self._missing_page = map(jinja.get_template, names)

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/", _to_alerts)
        for page in PAGES:
            router.add_get(page.path, self._show(page))
        router.add_get("/login", self.login_form)
        router.add_post("/login", self.log_in)
        router.add_post("/logout", self.log_out)
        router.add_static("/static/", str(files("stream.console") / "static"))
        router.add_get("/{path:(?!api/|static/).*}", self.missing)

    def _show(self, page: Page) -> Handler:
        modules = imported_by(page.script)

        async def show(request: web.Request) -> web.Response:
            identity = request[IDENTITY]
            return _html(
                self._page,
                modules=modules,
                page=page,
                nav=NAV,
                identity=identity,
                open_to_all=self._sessions.open,
                path=dict(request.match_info),
            )

        return show

    async def missing(self, _: web.Request) -> web.StreamResponse:
        return _html(self._missing_page, 404)

    async def login_form(self, request: web.Request) -> web.StreamResponse:
        if self._sessions.open:
            raise web.HTTPSeeOther(_inside(request.query.get("next", "")))
        return self._login(request, "", 200, request.query.get("next", ""))

    async def log_in(self, request: web.Request) -> web.StreamResponse:
        try:
            form = await request.post()
        except (ValueError, LookupError):
            # No text in the character set that it names, if there is such a one.
            return self._login(request, "The form can't be read; please try again.", 400, "")
        onward = str(form.get("next", ""))
        nonce = request.cookies.get(LOGIN_COOKIE, "")
        given = str(form.get("token", ""))
        if not nonce or not same(given, self._sessions.login_token(nonce)):
            words = "The form was too old; please try again."
            return self._login(request, words, 403, onward)
        name, password = str(form.get("name", "")), str(form.get("password", ""))
        clients = (f"address {request.remote}", f"name {name[:100]}")
        if (wait_s := self._limit.blocked_s(*clients)) > 0:
            words = f"Too many attempts; try again in {in_minutes(wait_s)}."
            return self._login(request, words, 429, onward)
        # Counted before the hash is computed, so that many at once are not all let through.
        self._limit.note_failure(*clients)
        cookie = await asyncio.to_thread(self._sessions.log_in, name, password[:MAX_PASSWORD_CHARS])
        if cookie is None:
            return self._login(request, "Name or password is wrong.", 401, onward)
        self._limit.forget(*clients)
        response = web.HTTPSeeOther(_inside(onward))
        set_cookie(request, response, COOKIE, cookie)
        response.del_cookie(LOGIN_COOKIE)
        raise response

    async def log_out(self, _: web.Request) -> web.StreamResponse:
        response = web.Response(status=204)
        response.del_cookie(COOKIE)
        return response

    def _login(self, request: web.Request, fault: str, status: int, onward: str) -> web.Response:
        nonce = secrets.token_urlsafe(18)
        response = _html(
            self._login_page,
            status,
            fault=fault,
            token=self._sessions.login_token(nonce),
            next=_inside(onward),
        )
        set_cookie(request, response, LOGIN_COOKIE, nonce)
        return response


def imported_by(script: str) -> list[str]:
    """The modules in static/ that a script imports, and those that they import, each once.

    Pages name them, so that the browser fetches all at once and not one import after the other.
    """
    static = files("stream.console") / "static"
    found: list[str] = []
    asked = [script]
    while asked:
        for name in _IMPORT.findall((static / asked.pop()).read_text(encoding="utf-8")):
            if name not in found:
                found.append(name)
                asked.append(name)
    return found


def in_minutes(wait_s: float) -> str:
    """Not before it is over, so rounded up."""
    minutes = math.ceil(wait_s / 60)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def _html(template: Template, status: int = 200, **values: Any) -> web.Response:
    return web.Response(text=template.render(**values), status=status, content_type="text/html")


async def _to_alerts(_: web.Request) -> web.StreamResponse:
    raise web.HTTPSeeOther("/alerts")


def _inside(path: str) -> str:
    """A path of ours to go on to; another host's would make the login a trap.

    What browsers and yarl drop or turn round on the way, tabs and backslashes, is no path of ours.
    """
    inside = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if inside and path.isprintable() else "/alerts"
