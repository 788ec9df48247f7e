"""Labelling over HTTP: what to judge, and verdicts on their way to the trainer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from getpass import getuser
from typing import Any, cast

import msgspec
import pytest

from models.spec import HeadScore
from stream.connections.outbox import Outgoing
from stream.console.label_queue import in_review
from stream.console.pending_feedback import PendingFeedback
from stream.console.recent import KEPT_TICKETS
from stream.console.review import InReview
from stream.console.services import Services
from stream.names import MAX_ID_CHARS
from stream.processing.tickets import route
from stream.records import Feedback, RoutedTicket, decode_routed_ticket, utc_now
from tests.fakes import NOON, scored, scores
from tests.unit.stream.console.conftest import (
    DEADLINE_S,
    Caller,
    KnownLabels,
    RememberingSender,
    put,
)

VERDICT = {"id": "v-1", "event_id": "t-1", "head": "risk", "label": "high", "source": "ticket"}


def ticket(name: str, *, minutes: float = 0, **answers: Any) -> RoutedTicket:
    event = scored(
        id=name,
        source="ticket",
        after_s=60 * minutes,
        text=f"text of {name}",
        heads=scores(**answers) if answers else scores(abstained=("topic",)),
    )
    routed = route(event, [])
    assert routed
    return routed


def said(event_id: str, head: str, label: str, author: str, after_s: float = 0) -> Feedback:
    return Feedback(
        id=f"{event_id}{author}{after_s}",
        event_id=event_id,
        head=head,
        label=label,
        author=author,
        time=NOON + timedelta(seconds=after_s),
    )


async def test_a_verdict_becomes_a_feedback_record(page: Caller, services: Services) -> None:
    answer = await page.post("/feedback", VERDICT)
    (sent,) = cast("RememberingSender", services.sender).sent
    assert (sent.topic, sent.key) == (services.settings.topics.feedback, b"t-1")
    record = msgspec.json.decode(sent.value or b"", type=Feedback)
    assert {**msgspec.to_builtins(record), "queue": ""} == answer
    assert (record.id, record.label, record.source) == ("v-1", "high", "ticket")
    assert record.author


def test_a_verdict_under_the_id_of_another_is_known_until_it_arrives_itself() -> None:
    given = PendingFeedback()
    first = said("t-1", "topic", "outage", "ann")
    second = msgspec.structs.replace(first, head="risk", label="high")
    given.add(first)
    given.add(second)
    assert given.beside([first]) == [first, second]
    assert given.beside([first, second]) == [first, second]


async def test_a_label_the_model_has_not_is_refused(page: Caller, services: Services) -> None:
    wrong = await page.post("/feedback", {**VERDICT, "label": "huge"}, status=409)
    assert "low, medium, high" in wrong["error"]
    wrong = await page.post("/feedback", {**VERDICT, "head": "mood"}, status=409)
    assert "sentiment, topic, risk" in wrong["error"]
    assert cast("RememberingSender", services.sender).sent == []


async def test_an_event_of_any_id_that_sources_take_can_be_labelled(page: Caller) -> None:
    answer = await page.post("/feedback", {**VERDICT, "event_id": "e" * MAX_ID_CHARS})
    assert len(answer["event_id"]) == MAX_ID_CHARS
    for wrong in ("e" * (MAX_ID_CHARS + 1), " ", "e\x00"):
        await page.post("/feedback", {**VERDICT, "event_id": wrong}, status=422)


async def test_without_kafka_the_person_is_told(page: Caller, services: Services) -> None:
    cast("RememberingSender", services.sender).away = True
    answer = await page.post("/feedback", VERDICT, status=503)
    assert "Kafka does not confirm" in answer["error"]


async def test_review_has_urgent_and_old_tickets_first_until_somebody_judged_them(
    page: Caller, services: Services
) -> None:
    topics = services.settings.topics
    both = {"abstained": ("topic", "risk"), "risk": ("high", 0.4)}
    put(services, topics.review, ticket("late", minutes=2), ticket("old"), ticket("done"))
    put(services, topics.review, ticket("urgent", minutes=3, **both))
    put(services, topics.review, ticket("unsure", minutes=4, abstained=("risk",), risk="low"))
    put(services, topics.feedback, said("done", "topic", "cards", "ann"))
    put(services, topics.feedback, said("urgent", "topic", "cards", "ann"))
    answer = await page.get("/review")
    items = {item["event_id"]: item["heads"] for item in answer["items"]}
    assert list(items) == ["urgent", "unsure", "old", "late"]
    assert items["urgent"] == ["risk"]
    assert items["old"] == ["topic"]
    assert [item["urgent"] for item in answer["items"]] == [True, False, False, False]
    assert (answer["waiting"], answer["urgent"]) == (4, 1)
    assert answer["oldest"] == answer["items"][2]["time"]
    assert "topic abstained" in answer["items"][2]["reason"]


async def judge(page: Caller, event_id: str, head: str, label: str, **more: str) -> str:
    """The queue that the verdict sent the ticket to."""
    verdict = {"id": f"{event_id} {head} {label}", "event_id": event_id, "head": head}
    answer = await page.post("/feedback", {**verdict, "label": label, **more})
    return str(answer["queue"])


def sent_to(services: Services, queue: str) -> list[RoutedTicket]:
    topic = services.settings.topics.queue(queue)
    sent = [one for one in cast("RememberingSender", services.sender).sent if one.topic == topic]
    assert all(one.key == decode_routed_ticket(one.value or b"").id.encode() for one in sent)
    return [decode_routed_ticket(one.value or b"") for one in sent]


async def test_the_latest_tickets_are_known_whichever_partition_was_read_last(
    page: Caller, services: Services
) -> None:
    review = services.settings.topics.review
    put(services, review, ticket("latest"), at_ms=2_000)
    put(services, review, *(ticket(f"older {n}") for n in range(KEPT_TICKETS)), at_ms=1_000)
    assert (await page.get("/review?limit=1"))["waiting"] == KEPT_TICKETS
    assert await judge(page, "latest", "topic", "cards") == "cards"


async def test_the_last_label_that_was_missing_sends_a_ticket_to_its_queue_once(
    page: Caller, services: Services
) -> None:
    waiting = ticket("t", abstained=("topic", "risk"), topic="other", risk="low")
    put(services, services.settings.topics.review, waiting)
    assert not await judge(page, "t", "topic", "cards", source="ticket")
    assert not await judge(page, "t", "risk", "high", source="news")
    assert await judge(page, "t", "risk", "medium") == "cards"
    (routed,) = sent_to(services, "cards")
    assert routed.reason == f"topic cards (by {getuser()}), risk medium (by {getuser()})"
    assert routed == msgspec.structs.replace(
        waiting, queue="cards", priority="normal", reason=routed.reason
    )
    # The ticket before the label that takes it out of review.
    topics = [one.topic for one in cast("RememberingSender", services.sender).sent[-2:]]
    assert topics == [services.settings.topics.queue("cards"), services.settings.topics.feedback]
    assert not await judge(page, "t", "risk", "medium")
    assert not await judge(page, "t", "topic", "billing_fees")
    assert len(sent_to(services, "cards")) == 1


async def test_a_label_that_the_trainer_refuses_judges_nothing(
    page: Caller, services: Services
) -> None:
    put(services, services.settings.topics.review, ticket("t", abstained=("topic",), risk="high"))
    without_zone = msgspec.structs.replace(
        said("t", "topic", "cards", "eve"), time=NOON.replace(tzinfo=None)
    )
    put(
        services,
        services.settings.topics.feedback,
        said("t", "topic", "no such label", "eve"),
        said("t", "no such head", "cards", "eve"),
        said("t", "risk", "topic", "eve"),
        msgspec.structs.replace(said("t", "topic", "cards", "eve"), source="news"),
        without_zone,
    )
    answer = await page.get("/review")
    assert [item["heads"] for item in answer["items"]] == [["topic"]]
    assert (answer["urgent"], answer["progress"]["all"]) == (1, 1)
    assert (await page.get("/teach?head=topic"))["progress"]["all"] == 1
    assert await judge(page, "t", "topic", "cards") == "urgent"


async def test_a_label_that_kafka_did_not_take_is_not_counted_and_its_repeat_decides(
    page: Caller, services: Services
) -> None:
    put(services, services.settings.topics.review, ticket("t", abstained=("topic",), risk="high"))
    sender = cast("RememberingSender", services.sender)
    sender.away = True
    await page.post(
        "/feedback", {**VERDICT, "event_id": "t", "head": "topic", "label": "cards"}, 503
    )
    sender.away = False
    assert await judge(page, "t", "topic", "cards") == "urgent"
    (routed,) = sent_to(services, "urgent")
    assert routed.reason == f"topic cards (by {getuser()}), risk high (0.95)"


async def test_two_people_who_judge_a_ticket_at_once_send_it(
    page: Caller, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(services, services.settings.topics.review, ticket("t", abstained=("topic", "risk")))
    turn, send = PendingFeedback.turn, services.sender.send
    asked: list[str] = []
    both = asyncio.Event()

    def counted(given: PendingFeedback, event_id: str) -> asyncio.Lock:
        asked.append(event_id)
        if len(asked) == 2:
            both.set()
        return turn(given, event_id)

    async def held(records: Sequence[Outgoing]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await both.wait()
        await send(records)

    monkeypatch.setattr(PendingFeedback, "turn", counted)
    monkeypatch.setattr(services.sender, "send", held)
    queues = await asyncio.gather(
        judge(page, "t", "topic", "cards"), judge(page, "t", "risk", "low")
    )
    assert sorted(queues) == ["", "cards"]


async def test_an_unread_ticket_goes_to_a_queue_when_all_that_decides_is_judged(
    page: Caller, services: Services
) -> None:
    event = scored(id="t", source="ticket", heads=scores(abstained=("sentiment", "topic", "risk")))
    unread = route(msgspec.structs.replace(event, unreadable="language de"), [])
    put(services, services.settings.topics.review, unread)
    assert not await judge(page, "t", "risk", "high")
    assert await judge(page, "t", "topic", "fraud_security") == "fraud"
    assert [one.priority for one in sent_to(services, "fraud")] == ["urgent"]


async def test_labels_from_elsewhere_move_no_ticket_and_leave_no_second_move(
    page: Caller, services: Services
) -> None:
    put(services, services.settings.topics.review, ticket("t", abstained=("topic",)))
    put(services, services.settings.topics.feedback, said("t", "topic", "cards", "ann"))
    assert not await judge(page, "t", "topic", "billing_fees")
    assert not await judge(page, "not in review", "topic", "cards")
    assert sent_to(services, "cards") == sent_to(services, "billing") == []


async def test_a_ticket_that_came_again_edited_is_judged_anew(
    page: Caller, services: Services
) -> None:
    topics = services.settings.topics
    now_ms = int(time.time() * 1000)
    first = ticket("t", abstained=("topic",))
    edited = msgspec.structs.replace(first, text="now it is another matter")
    put(services, topics.review, first, at_ms=now_ms - 60_000)
    assert await judge(page, "t", "topic", "cards") == "cards"
    verdict = said("t", "topic", "cards", "bob")
    put(services, topics.feedback, msgspec.structs.replace(verdict, time=utc_now()))
    # Read again after a crash, it is the ticket that was judged.
    put(services, topics.review, first, at_ms=now_ms - 5_000)
    assert (await page.get("/review"))["waiting"] == 0
    put(services, topics.review, edited, at_ms=now_ms + 60_000)
    (item,) = (await page.get("/review"))["items"]
    assert (item["text"], item["heads"]) == ("now it is another matter", ["topic"])
    later = datetime.fromtimestamp(now_ms / 1000 + 90, UTC)
    put(
        services,
        topics.feedback,
        said("t", "topic", "other", "ann", (later - NOON).total_seconds()),
    )
    assert (await page.get("/review"))["waiting"] == 0


async def test_a_ticket_that_a_queue_got_later_waits_no_more(
    page: Caller, services: Services
) -> None:
    topics = services.settings.topics
    first = ticket("t", abstained=("topic",))
    edited = msgspec.structs.replace(first, queue="billing", text="my bill is wrong")
    put(services, topics.queue("billing"), edited, at_ms=1_000)
    put(services, topics.review, first, at_ms=2_000)
    assert (await page.get("/review"))["waiting"] == 1
    put(services, topics.queue("billing"), edited, at_ms=3_000)
    assert (await page.get("/review"))["waiting"] == 0
    # The review topic's older form would undo the edit.
    assert not await judge(page, "t", "topic", "cards")
    assert sent_to(services, "cards") == []


async def test_no_ticket_is_judged_before_the_console_knows_which_wait(
    page: Caller, services: Services
) -> None:
    services.recent.caught_up = False
    answer = await page.post("/feedback", VERDICT, status=409)
    assert "still reads the latest tickets" in answer["error"]
    await page.post("/feedback", {**VERDICT, "source": "news"})


async def test_queues_show_their_rates(page: Caller, services: Services) -> None:
    topic = services.settings.topics.queue("fraud")
    now_ms = int(time.time() * 1000)
    put(services, topic, ticket("a"), ticket("b"), at_ms=now_ms)
    put(services, topic, ticket("c"), at_ms=now_ms - 3_600_000)
    queues = {queue["name"]: queue for queue in (await page.get("/review"))["queues"]}
    assert (queues["fraud"]["kept"], queues["fraud"]["per_minute"]) == (3, 0.2)
    assert (queues["legal"]["kept"], queues["legal"]["latest"]) == (0, None)


async def test_the_least_sure_event_is_asked_first_each_text_once_and_none_twice(
    page: Caller, services: Services
) -> None:
    mine = (await page.post("/feedback", VERDICT))["author"]
    for name, confidence in (("sure", 0.9), ("unsure", 0.4), ("copy", 0.5), ("done", 0.35)):
        text = "same" if name in {"unsure", "copy"} else name
        answers = scores(sentiment=("negative", confidence))
        put(services, services.settings.topics.scored, scored(id=name, text=text, heads=answers))
    put(services, services.settings.topics.feedback, said("done", "sentiment", "neutral", mine))
    answer = await page.get("/teach?head=sentiment")
    assert [item["event_id"] for item in answer["items"]] == ["unsure", "sure"]
    assert answer["progress"]["mine"] == 1
    assert answer["verdict"]["verdict"] == "promoted: better"
    asked_for = await page.get("/teach?head=sentiment&event=done")
    assert [item["event_id"] for item in asked_for["items"]] == ["done", "unsure", "sure"]
    first = await page.get("/teach")
    assert (first["head"], first["items"]) == ("sentiment", answer["items"])


async def test_progress_counts_the_latest_word_and_how_far_people_agree(
    page: Caller, services: Services
) -> None:
    put(
        services,
        services.settings.topics.feedback,
        said("e1", "risk", "low", "ann"),
        said("e1", "risk", "high", "ann", 5),
        said("e1", "risk", "high", "bob"),
        said("e2", "risk", "high", "ann"),
        said("e2", "risk", "low", "bob"),
        said("e3", "risk", "low", "bob"),
    )
    progress = (await page.get("/teach?head=risk"))["progress"]
    assert progress == {"mine": 0, "all": 5, "judged_by_several": 2, "agreement": 0.5}


async def test_suspects_come_from_the_label_log(page: Caller, services: Services) -> None:
    suspect = {"head": "topic", "label": "cards", "event_id": "e", "authors": "eve", "text": "x"}
    cast("KnownLabels", services.labels).found.append(suspect)
    assert (await page.get("/suspects"))["suspects"] == [suspect]


def test_a_ticket_in_review_is_asked_about_by_the_head_that_decides() -> None:
    answer = HeadScore("returns", 0.4, {"returns": 0.4}, abstained=True)
    doubtful = msgspec.structs.replace(ticket("t"), heads={"queue": answer})
    (item,) = in_review([InReview(doubtful)], [], known=["topic", "queue"], deciding=["queue"])
    assert item.heads == ("queue",)
