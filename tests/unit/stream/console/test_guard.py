"""No one in who should not be, and nothing done that its person did not mean."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from stream.config.settings import SettingsError
from stream.console.pages import in_minutes
from stream.console.services import Services
from stream.console.sessions import LOGIN_ATTEMPTS
from stream.console.users import User, add_user, hash_password, password_fits, read_users
from tests.unit.stream.console.conftest import Caller, fire, log_in, opened, with_users

Connect = Callable[[Services], Awaitable[TestClient[Any, Any]]]


@pytest.fixture
async def guarded(services: Services, connect: Connect, tmp_path: Path) -> TestClient[Any, Any]:
    return await connect(with_users(services, tmp_path))


async def test_without_a_session_there_is_nothing_but_the_login(guarded: Any) -> None:
    for path in ("/alerts", "/alerts/x", "/models"):
        answer = await guarded.get(path, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, f"/login?next={path}")
    answer = await guarded.get("/alerts?q=halc&show=silenced", allow_redirects=False)
    form = await (await guarded.get(answer.headers["Location"])).text()
    assert 'name="next" value="/alerts?q=halc&amp;show=silenced"' in form
    for path in ("/api/v1/alerts", "/api/v1/openapi.json", "/live", "/api/v1/settings"):
        assert (await guarded.get(path)).status == 401
    assert (await guarded.post("/api/v1/silences", json={})).status == 401
    assert (await guarded.get("/alive")).status == 200


@pytest.mark.parametrize(
    "trap",
    [
        "//evil.com",
        "/\\evil.com",
        "/\t/evil.com",
        "/\n/evil.com",
        "/\r\t\\evil.com",
        "https://evil.com/",
    ],
)
async def test_a_login_leads_to_no_other_host(guarded: Any, trap: str) -> None:
    answer = await log_in(guarded, "ann", next=trap)
    assert (answer.status, answer.headers["Location"]) == (303, "/alerts")


async def test_a_users_file_that_is_no_utf8_is_refused_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    file.write_bytes(b'{"secret": "\xff"}')
    with pytest.raises(SettingsError, match="is no users file"):
        read_users(file)


async def test_a_users_file_damaged_meanwhile_lets_nobody_in_and_only_the_log_says_where_it_is(
    guarded: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await log_in(guarded, "ann")
    file = tmp_path / "users.json"
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    for path in ("/api/v1/alerts", "/alerts", "/login"):
        answer = await guarded.get(path, allow_redirects=False)
        said = await answer.json()
        assert (answer.status, said) == (
            503,
            {"error": "nobody can be let in now; the console's log says why"},
        )
    assert str(file) in caplog.text
    assert "Traceback" not in caplog.text
    assert (await guarded.get("/alive")).status == 200
    file.write_bytes(whole)
    assert (await guarded.get("/api/v1/alerts")).status == 200


async def test_a_login_gives_a_cookie_that_scripts_and_other_sites_do_not_get(
    guarded: Any,
) -> None:
    answer = await log_in(guarded, "ann", next="/models")
    assert (answer.status, answer.headers["Location"]) == (303, "/models")
    cookie = answer.cookies["bellwether"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert (await guarded.get("/models", allow_redirects=False)).status == 200


async def test_wrong_names_and_passwords_are_not_told_apart_and_soon_not_heard(
    guarded: Any,
) -> None:
    wrong = await log_in(guarded, "ann", "no", next="/models")
    assert 'name="next" value="/models"' in await wrong.text()
    unknown = await log_in(guarded, "nobody", "no")
    assert (wrong.status, unknown.status) == (401, 401)
    for _ in range(LOGIN_ATTEMPTS - 2):
        assert (await log_in(guarded, "ann", "no")).status == 401
    assert (await log_in(guarded, "ann")).status == 429
    assert (await log_in(guarded, "vic")).status == 429  # the address, too


@pytest.mark.parametrize(
    ("wait_s", "words"), [(0.2, "1 minute"), (60, "1 minute"), (61, "2 minutes")]
)
def test_a_wait_is_not_said_to_be_over_before_it_is(wait_s: float, words: str) -> None:
    assert in_minutes(wait_s) == words


async def test_the_login_form_must_be_ours(guarded: Any) -> None:
    form = {"name": "ann", "password": "x", "token": "made up"}
    assert (await guarded.post("/login", data=form)).status == 403


async def test_roles_may_what_they_are_for(guarded: Any, services: Services) -> None:
    alert = await fire(services)
    await log_in(guarded, "vic")
    viewer = await opened(guarded)
    assert len((await viewer.get("/alerts"))["alerts"]) == 1
    refused = await viewer.post(f"/alerts/{alert.id}/acknowledge", status=403)
    assert "operator" in refused["error"]
    verdict = {"id": "v", "event_id": "e", "head": "risk", "label": "low"}
    await viewer.post("/feedback", verdict, status=403)
    await log_in(guarded, "lea")
    labeller = await opened(guarded)
    await labeller.post("/feedback", verdict)
    await labeller.post(f"/alerts/{alert.id}/acknowledge", status=403)
    await log_in(guarded, "ann")
    operator = await opened(guarded)
    done = await operator.post(f"/alerts/{alert.id}/acknowledge")
    assert done["row"]["acknowledged_by"] == "ann"


async def test_a_change_needs_the_pages_token_and_our_origin(
    page: Caller, services: Services
) -> None:
    alert = await fire(services)
    path = f"/api/v1/alerts/{alert.id}/acknowledge"
    client = page.client
    assert (await client.post(path, json={})).status == 403
    assert (await client.post(path, json={}, headers={"X-CSRF-Token": "guess"})).status == 403
    foreign = {"X-CSRF-Token": page.csrf, "Origin": "https://evil.example"}
    assert (await client.post(path, json={}, headers=foreign)).status == 403
    assert (await page.get(f"/alerts/{alert.id}"))["row"]["state"] == "firing"
    assert (await client.post("/logout")).status == 403


async def test_a_console_for_this_machine_answers_to_its_names_only(page: Caller) -> None:
    answer = await page.client.get("/alerts", headers={"Host": "rebound.example"})
    assert answer.status == 421
    for host in (b"[", "a\u2100".encode()):
        assert await sent_raw(page.client, b"GET /alerts", b"Accept: */*", host=host) == 421


async def test_tokens_are_for_programs(guarded: Any, services: Services) -> None:
    alert = await fire(services)
    headers = {"Authorization": "Bearer token of ann"}
    path = f"/api/v1/alerts/{alert.id}/acknowledge"
    answer = await guarded.post(path, json={}, headers=headers)
    assert (answer.status, (await answer.json())["row"]["acknowledged_by"]) == (200, "ann")
    wrong = {"Authorization": "Bearer token of eve"}
    assert (await guarded.get("/api/v1/alerts", headers=wrong)).status == 401


async def test_sessions_end_with_the_password_the_user_or_tampering(
    guarded: Any, tmp_path: Path
) -> None:
    file = tmp_path / "users.json"
    await log_in(guarded, "ann")
    cookie = guarded.session.cookie_jar.filter_cookies(guarded.make_url("/"))["bellwether"].value
    assert (await guarded.get("/api/v1/alerts")).status == 200
    body, _, signature = cookie.partition(".")
    for forged in (f"{body}.{signature[:-2]}AA", f"{body}.", f"e30=.{signature}", "x"):
        guarded.session.cookie_jar.clear()
        answer = await guarded.get("/api/v1/alerts", cookies={"bellwether": forged})
        assert answer.status == 401
    add_user(file, User("ann", "operator", hash_password("another password")))
    answer = await guarded.get("/api/v1/alerts", cookies={"bellwether": cookie})
    assert answer.status == 401


async def sent_raw(
    client: Any, begin: bytes, headers: bytes, body: bytes = b"", host: bytes = b"localhost"
) -> int:
    """The status of an answer to what aiohttp's client would not send."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    length = b"Content-Length: %d\r\nConnection: close" % len(body)
    head = b"\r\n".join((begin + b" HTTP/1.1", b"Host: " + host, headers, length))
    writer.write(head + b"\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1])


async def test_bytes_that_are_no_text_are_no_login(guarded: Any) -> None:
    claim = b'{"name": "ann", "begun": 9999999999, "nonce": "x"}'
    cookie = b"Cookie: bellwether=" + base64.urlsafe_b64encode(claim) + b".\xff"
    for given in (b"Authorization: Bearer \xff", cookie):
        assert await sent_raw(guarded, b"GET /api/v1/alerts", given) == 401


@pytest.mark.parametrize(
    ("nonce", "kind", "body", "status"),
    [
        (b"\xff", b"application/x-www-form-urlencoded", b"token=a", 403),
        (b"x", b"application/x-www-form-urlencoded", b"token=\xff", 400),
        (b"x", b"application/x-www-form-urlencoded; charset=none", b"token=a", 400),
        (b"x", b"application/x-www-form-urlencoded; charset=utf-7", b"token=+2AA-", 403),
        (b"x", b"multipart/form-data", b"token=a", 400),
    ],
)
async def test_a_login_form_that_is_no_text_is_refused(
    guarded: Any, nonce: bytes, kind: bytes, body: bytes, status: int
) -> None:
    headers = b"Cookie: bellwether-login=" + nonce + b"\r\nContent-Type: " + kind
    assert await sent_raw(guarded, b"POST /login", headers, body) == status


def test_a_password_that_is_no_text_is_a_wrong_one() -> None:
    assert not password_fits("\ud800", hash_password("?"))
    assert password_fits("\ud800", hash_password("\ud800"))


async def test_a_page_token_or_origin_that_is_none_is_refused(page: Caller) -> None:
    jar = page.client.session.cookie_jar.filter_cookies(page.client.make_url("/"))
    cookie = f"Cookie: bellwether={jar['bellwether'].value}\r\n".encode()
    ours = f"X-CSRF-Token: {page.csrf}".encode()
    for given, status in (
        (b"X-CSRF-Token: \xff", 403),
        (ours + b"\r\nOrigin: http://[", 403),
        (ours, 204),
    ):
        assert await sent_raw(page.client, b"POST /logout", cookie + given) == status


async def test_a_screen_on_the_wall_stays_logged_in_and_who_may_change_things_does_not(
    guarded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seen_after(name: str, days: float) -> int:
        guarded.session.cookie_jar.clear()
        with monkeypatch.context() as patch:
            await log_in(guarded, name)
            later = time.time() + days * 86_400
            patch.setattr("stream.console.sessions.time.time", lambda: later)
            return int((await guarded.get("/api/v1/alerts")).status)

    assert [await seen_after("ann", days) for days in (0.4, 0.6)] == [200, 401]
    assert [await seen_after("lea", days) for days in (0.4, 0.6)] == [200, 401]
    assert [await seen_after("vic", days) for days in (29, 31)] == [200, 401]


async def test_an_address_that_is_none_is_said_to_be_none(page: Caller) -> None:
    answer = await page.client.get("/nowhere")
    assert (answer.status, answer.content_type) == (404, "text/html")
    assert 'href="/alerts"' in await answer.text()
    for path in ("/api/v1/nowhere", "/api/v2"):
        answer = await page.client.get(path)
        assert answer.status == 404
        assert "/api/v1/openapi.json" in (await answer.json())["error"]


async def test_without_users_the_login_leads_on_to_where_one_was(page: Caller) -> None:
    for asked, led in (("/models", "/models"), ("//evil.example", "/alerts")):
        answer = await page.client.get(f"/login?next={asked}", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, led)


async def test_every_answer_carries_the_headers(guarded: Any) -> None:
    for path in ("/login", "/api/v1/alerts", "/static/console.css", "/nowhere"):
        answer = await guarded.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_what_a_page_shows_of_the_address_is_text(page: Caller) -> None:
    answer = await page.client.get("/alerts/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    text = await answer.text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


def test_the_users_file_is_for_its_owner_only_and_holds_no_password(tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    add_user(file, User("ann", "viewer", hash_password("a long password")))
    add_user(file, User("ann", "operator", hash_password("a long password")))
    assert file.stat().st_mode & 0o077 == 0
    assert b"a long password" not in file.read_bytes()
    (ann,) = read_users(file).users
    assert ann.role == "operator"
