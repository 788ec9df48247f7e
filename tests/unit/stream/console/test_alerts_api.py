"""Alerts and silences over HTTP, on the lifecycle that commands use too."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import BusyLoadingError, ResponseError

from models.spec import DEFAULT_HEADS, HeadScore
from stream.alerts.silence_store import SilenceStore
from stream.config.settings import Settings
from stream.console.errors import sentence_of, status_of
from stream.console.services import Services
from stream.console.thresholds_api import try_all, values_around
from stream.records import Origin, Subject
from stream.rules.rule_file import Rule, RuleFile
from tests.fakes import scored, scores
from tests.unit.stream.console.conftest import Caller, fire, put


async def test_open_alerts_are_listed_and_found_by_matchers(
    page: Caller, services: Services
) -> None:
    await fire(services, subject="ticker:A")
    await fire(services, subject="ticker:B", after_s=1)
    everything = await page.get("/alerts")
    assert [row["subject"] for row in everything["alerts"]] == ["ticker:B", "ticker:A"]
    assert everything["more"] is False
    some = await page.get('/alerts?matcher=subject%3D"ticker:A"&matcher=rule%3Dbad-news')
    assert [row["subject"] for row in some["alerts"]] == ["ticker:A"]
    assert (await page.get("/alerts?limit=1"))["more"] is True


async def test_what_people_do_is_kept_with_their_names(page: Caller, services: Services) -> None:
    alert = await fire(services)
    path = f"/alerts/{alert.id}"
    done = await page.post(f"{path}/acknowledge", {"comment": "on it"})
    assert (done["changed"], done["row"]["state"]) == (True, "acknowledged")
    again = await page.post(f"{path}/acknowledge")
    assert again["changed"] is False
    await page.post(f"{path}/assign", {"to": "bob"})
    await page.post(f"{path}/comment", {"comment": "saw <b>it</b>"})
    await page.post(f"{path}/resolve", {"comment": "over"})
    detail = await page.get(path)
    history = [(line["action"], line["comment"]) for line in detail["history"]]
    assert history == [
        ("acknowledged", "on it"),
        ("assigned", ""),
        ("commented", "saw <b>it</b>"),
        ("resolved", "over"),
    ]
    assert detail["row"]["assignee"] == "bob"
    assert {line["by"] for line in detail["history"]} == {detail["row"]["acknowledged_by"]}
    assert (await page.get("/alerts"))["alerts"] == []
    resolved = (await page.get("/alerts?state=resolved"))["alerts"]
    assert [row["id"] for row in resolved] == [alert.id]


async def test_a_detail_marks_shared_words_and_finds_alerts_that_are_alike(
    page: Caller, services: Services
) -> None:
    alert = await fire(services, text="HALC lost its largest customer")
    await fire(services, after_s=1, text="Customer leaves HALC")
    other = await fire(services, rule="other", after_s=2)
    await fire(services, rule="third", subject="ticker:Z", after_s=3)
    detail = await page.get(f"/alerts/{alert.id}")
    assert detail["words"] == ["halc", "customer"]
    assert [row["id"] for row in detail["similar"]] == [other.id]


async def test_errors_say_what_is_wrong(page: Caller, services: Services) -> None:
    gone = await page.client.get("/api/v1/alerts/no-such-1")
    assert gone.status == 404
    assert "no-such-1" in (await gone.json())["error"]
    for action, body in (
        ("acknowledge", {}),
        ("comment", {"comment": "x"}),
        ("assign", {"to": "x"}),
    ):
        await page.post(f"/alerts/{'0' * 16}-1/{action}", body, status=404)
    over = await page.client.delete(
        "/api/v1/silences/0a1b2c3d", headers={"X-CSRF-Token": page.csrf}
    )
    assert over.status == 404
    alert = await fire(services)
    await page.post(f"/alerts/{alert.id}/resolve")
    refused = await page.post(f"/alerts/{alert.id}/acknowledge", status=409)
    assert "it is resolved" in refused["error"]
    wrong = await page.post(f"/alerts/{alert.id}/comment", {"comment": ""}, status=422)
    assert "$.comment" in wrong["error"]
    matcher = await page.client.get("/api/v1/alerts?matcher=subject")
    assert matcher.status == 422
    assert "is no matcher" in (await matcher.json())["error"]
    limit = await page.client.get("/api/v1/alerts?limit=many")
    assert limit.status == 422
    no_json = await page.client.post(
        f"/api/v1/alerts/{alert.id}/comment", data=b"{", headers={"X-CSRF-Token": page.csrf}
    )
    assert no_json.status == 400


async def test_blank_words_are_refused_and_what_steers_a_terminal_is_taken_out(
    page: Caller, services: Services
) -> None:
    alert = await fire(services)
    path = f"/alerts/{alert.id}"
    for blank in (" ", "\u200b", "\x1b[2J"):
        answer = await page.post(f"{path}/comment", {"comment": blank}, status=422)
        assert "comment is blank" in answer["error"]
        answer = await page.post(f"{path}/assign", {"to": blank}, status=422)
        assert "to is blank" in answer["error"]
        silence = {"matchers": ["rule=x"], "lasts": "2h", "reason": blank}
        assert "reason is blank" in (await page.post("/silences", silence, status=422))["error"]
    await page.post(f"{path}/assign", {"to": " bob\n", "comment": "\x1b]0;x\x07his"})
    await page.post(f"{path}/comment", {"comment": "one\x1b[31m &lt;\ntwo\x00"})
    history = (await page.get(path))["history"]
    assert [(one["detail"], one["comment"]) for one in history] == [
        ("bob", "his"),
        ("", "one &lt;\ntwo"),
    ]


async def test_an_id_that_leads_to_another_key_is_not_found(
    page: Caller, services: Services
) -> None:
    alert = await fire(services)
    await page.post(f"/alerts/{alert.id}/comment", {"comment": "first"})
    path = f"/alerts/{alert.id}:history"
    for answer in (
        await page.client.get(f"/api/v1{path}"),
        await page.client.get(f"/api/v1{path}/thresholds"),
        await page.client.post(
            f"/api/v1{path}/acknowledge", json={}, headers={"X-CSRF-Token": page.csrf}
        ),
    ):
        assert answer.status == 404
        assert "is not in Redis" in (await answer.json())["error"]


async def test_a_body_that_is_no_utf8_is_the_callers_fault(
    page: Caller, services: Services
) -> None:
    alert = await fire(services)
    answer = await page.client.post(
        f"/api/v1/alerts/{alert.id}/comment",
        data=b'{"comment": "\xff"}',
        headers={"X-CSRF-Token": page.csrf},
    )
    assert answer.status == 400
    assert "not UTF-8" in (await answer.json())["error"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BusyLoadingError("refused"), "Redis can't be reached (refused)"),
        (ResponseError("WRONGTYPE"), "Redis refuses this (WRONGTYPE)"),
    ],
)
def test_only_a_redis_that_is_away_is_said_to_be_out_of_reach(error: Exception, words: str) -> None:
    assert status_of(error) == 503
    assert words in sentence_of(error)


async def test_the_list_reads_the_silences_once(
    page: Caller, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    listed = SilenceStore.listed

    async def counted(store: SilenceStore) -> Any:
        nonlocal reads
        reads += 1
        return await listed(store)

    await services.hub.stop()
    monkeypatch.setattr(SilenceStore, "listed", counted)
    await page.get("/alerts")
    assert reads == 1


async def test_a_silence_is_previewed_made_shown_and_ended(
    page: Caller, services: Services
) -> None:
    await fire(services, subject="ticker:A")
    await fire(services, subject="ticker:B", after_s=1)
    matchers = {"matchers": ['subject="ticker:A"']}
    seen = await page.post("/silences/preview", matchers)
    assert (seen["open_hidden"], seen["open_alerts"], seen["hour_hidden"]) == (1, 2, 1)
    assert [row["subject"] for row in seen["examples"]] == ["ticker:A"]
    made = await page.post("/silences", {**matchers, "lasts": "2h", "reason": "known"})
    listed = await page.get("/alerts")
    silenced = {row["subject"]: row["silence"] for row in listed["alerts"]}
    assert silenced == {"ticker:A": made["id"], "ticker:B": ""}
    assert [one["id"] for one in listed["silences"]] == [made["id"]]
    ended = await page.client.delete(
        f"/api/v1/silences/{made['id']}", headers={"X-CSRF-Token": page.csrf}
    )
    assert ended.status == 200
    assert {row["silence"] for row in (await page.get("/alerts"))["alerts"]} == {""}


async def test_a_silence_of_everything_for_no_time_or_no_reason_is_refused(page: Caller) -> None:
    two_hours = {"lasts": "2h", "reason": "known"}
    wide = await page.post("/silences", {"matchers": ["subject=~.*"], **two_hours}, status=409)
    assert "would hide every alert" in wide["error"]
    empty = await page.post("/silences", {"matchers": [], **two_hours}, status=422)
    assert "matchers" in empty["error"]
    soon = {"matchers": ["rule=x"], "lasts": "soon", "reason": "known"}
    span = await page.post("/silences", soon, status=409)
    assert "soon" in span["error"]
    mute = await page.post("/silences", {"matchers": ["rule=x"], "lasts": "2h"}, status=422)
    assert "reason" in mute["error"]


async def test_other_thresholds_are_tried_on_the_kept_events(
    page: Caller, services: Services
) -> None:
    alert = await fire(services, rule="negative-news-on-ticker")
    surer = {"HALC": 0.99, "B": 0.93, "C": 0.86}
    events = [
        scored(
            id=subject,
            subjects=(Subject("ticker", subject),),
            heads={"sentiment": sentiment(confidence)},
        )
        for subject, confidence in surer.items()
    ]
    put(services, services.settings.topics.scored, *events)
    answer = await page.get(f"/alerts/{alert.id}/thresholds")
    threshold, relevance = answer["thresholds"]
    assert answer["events"] == 3
    assert [threshold["name"], relevance["name"]] == ["sentiment.confidence", "subject.relevance"]
    tried = {step["value"]: step for step in threshold["tried"]}
    assert list(tried) == ["0.8", "0.85", "0.9", "0.95", "0.98"]
    assert [step["alerts"] for step in tried.values()] == [3, 3, 2, 1, 1]
    assert [step["value"] for step in tried.values() if step["now"]] == ["0.9"]
    assert (tried["0.85"]["gained"], tried["0.95"]["lost"]) == (1, 1)
    assert [lost["subject"] for lost in tried["0.95"]["lost_first"]] == ["ticker:B"]
    assert tried["0.98"]["keeps"]
    assert answer["rule_changed"]


async def test_one_try_runs_at_a_time(page: Caller, services: Services) -> None:
    alert = await fire(services, rule="negative-news-on-ticker")
    async with services.trying:
        answer = await page.client.get(f"/api/v1/alerts/{alert.id}/thresholds")
    assert answer.status == 409
    assert "in a moment" in await answer.text()
    assert (await page.get(f"/alerts/{alert.id}/thresholds"))["events"] == 0


async def test_thresholds_of_a_rule_that_is_gone_are_refused(
    page: Caller, services: Services
) -> None:
    alert = await fire(services, rule="no-such-rule")
    answer = await page.client.get(f"/api/v1/alerts/{alert.id}/thresholds")
    assert answer.status == 409
    assert "no rule 'no-such-rule'" in await answer.text()


@pytest.mark.parametrize(
    ("path", "number", "others"),
    [
        ("sentiment.confidence", "0.9", ["0.8", "0.85", "0.95", "0.98"]),
        ("subject.relevance", "1.0", ["0.9", "0.95"]),
        ("subject.relevance", "0", ["0.05", "0.08"]),
        ("event.attributes.stars", "1", ["0.5", "0.75", "1.5", "2"]),
        ("signal.volume", "0.004", ["0.002", "0.003", "0.006", "0.008"]),
        ("signal.sentiment_z", "-2.0", ["-1", "-1.5", "-3", "-4"]),
        ("signal.volume", "20000", ["10000", "15000", "30000", "40000"]),
    ],
)
def test_values_around_a_threshold_are_written_as_in_a_rule(
    path: str, number: str, others: list[str]
) -> None:
    assert values_around(path, number) == others


def sentiment(confidence: float) -> HeadScore:
    rest = (1 - confidence) / 2
    probabilities = {"negative": confidence, "neutral": rest, "positive": rest}
    return HeadScore("negative", confidence, probabilities, abstained=False)


@pytest.mark.parametrize(
    ("when", "tried"),
    [
        ("signal.negative >= 0.6", {"signal.negative": ["0.3", "0.45", "0.6", "0.9"]}),
        ("signal.sources_down >= 2", {"signal.sources_down": ["1", "1.5", "2", "3"]}),
        (
            "signal.sentiment < 0.0 && signal.sentiment_z <= -2.0",
            {"signal.sentiment": ["0"], "signal.sentiment_z": ["-4", "-3", "-2", "-1.5", "-1"]},
        ),
    ],
)
def test_values_that_no_figure_has_are_not_tried(when: str, tried: dict[str, list[str]]) -> None:
    rule = Rule(name="r", when=when, subject="ticker", severity="info", title="t")
    file = RuleFile("rules", {"r": rule}, (), "")
    found = try_all(Settings(), DEFAULT_HEADS, file, where="r", scored=[], subject="ticker:HALC")
    assert {one.name: [value.value for value in one.tried] for one in found} == tried


def test_thresholds_are_tried_in_the_order_in_which_workers_judged() -> None:
    rule = Rule(
        name="r",
        when='sentiment.label == "negative" && sentiment.confidence >= 0.8',
        resolve='sentiment.label == "positive"',
        subject="ticker",
        severity="info",
        title="t",
    )
    file = RuleFile("rules", {"r": rule}, (), "")
    judged = [
        scored(
            id=f"e{n}",
            origin=Origin("news", n % 2, n),
            after_s=60 * n,
            turn=(n, n),
            heads=scores(sentiment="positive" if n % 2 else "negative"),
        )
        for n in range(5)
    ]
    # One partition was read after the other.
    (found,) = try_all(
        Settings(),
        DEFAULT_HEADS,
        file,
        where="r",
        scored=[*judged[::2], *judged[1::2]],
        subject="ticker:HALC",
    )
    assert [one.alerts for one in found.tried if one.now] == [3]
