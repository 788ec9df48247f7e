"""Each ticket has one place, and a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.spec import DEFAULT_HEADS, Head, HeadScore
from models.stub import StubPredictor
from stream.config.queues import DEFAULT_QUEUES, Queue
from stream.config.settings import Settings, SettingsError
from stream.processing.tickets import check_queues, deciding, route
from stream.records import Scored
from stream.worker.app import Worker
from tests.fakes import scored, scores


def ticket(**heads: Any) -> Scored:
    return scored(source="ticket", id="t-1", customer="c-1", heads=scores(**heads))


@pytest.mark.parametrize(
    ("topic", "risk", "queue", "priority"),
    [
        ("fraud_security", "high", "fraud", "urgent"),
        ("regulation_legal", "low", "legal", "low"),
        ("cards", "high", "urgent", "urgent"),
        ("cards", "medium", "cards", "normal"),
        ("account_access", "low", "access", "low"),
        ("transfers_topups", "medium", "payments", "normal"),
        ("billing_fees", "low", "billing", "low"),
        ("other", "low", "general", "low"),
    ],
)
def test_topic_and_risk_choose_queue_and_priority(
    topic: str, risk: str, queue: str, priority: str
) -> None:
    routed = route(ticket(topic=topic, risk=risk), DEFAULT_QUEUES)
    assert routed is not None
    assert (routed.queue, routed.priority) == (queue, priority)
    assert topic in routed.reason
    assert risk in routed.reason


@pytest.mark.parametrize("head", ["topic", "risk"])
def test_doubt_about_topic_or_risk_goes_to_review_and_says_so(head: str) -> None:
    doubtful = ticket(abstained=(head,), topic=("cards", 0.41), risk=("high", 0.41))
    routed = route(doubtful, DEFAULT_QUEUES)
    assert routed is not None
    assert routed.queue == "review"
    assert routed.priority == "urgent"
    assert f"{head} abstained" in routed.reason
    assert "0.41" in routed.reason


def test_doubt_about_sentiment_alone_does_not_hold_a_ticket_back() -> None:
    routed = route(ticket(abstained=("sentiment",), topic="cards", risk="low"), DEFAULT_QUEUES)
    assert routed is not None
    assert routed.queue == "cards"


def test_the_first_queue_that_holds_takes_the_ticket() -> None:
    queues = (
        Queue(name="hot-cards", topics=("cards",), risks=("high",)),
        Queue(name="all-cards", topics=("cards",)),
        Queue(name="rest"),
    )
    high = route(ticket(topic="cards", risk="high"), queues)
    low = route(ticket(topic="cards", risk="low"), queues)
    rest = route(ticket(topic="other", risk="high"), queues)
    assert [one.queue for one in (high, low, rest) if one] == ["hot-cards", "all-cards", "rest"]


def test_news_and_posts_are_not_routed() -> None:
    assert route(scored(source="news"), DEFAULT_QUEUES) is None
    assert route(scored(source="social"), DEFAULT_QUEUES) is None


def test_ticket_that_the_model_can_not_read_goes_to_review_and_says_why() -> None:
    foreign = ticket(topic="cards", risk="high", abstained=("sentiment", "topic", "risk"))
    foreign = msgspec.structs.replace(foreign, unreadable="language de, the model reads en")
    routed = route(foreign, DEFAULT_QUEUES)
    assert routed is not None
    assert routed.queue == "review"
    assert routed.priority == "urgent"
    assert routed.reason == "not read: language de, the model reads en"


@pytest.mark.parametrize(
    ("changes", "label", "priority"),
    [
        ({"abstained": ("risk",)}, "low", "normal"),
        ({"abstained": ("risk",)}, "medium", "normal"),
        ({"abstained": ("risk",)}, "high", "urgent"),
        ({"abstained": ("topic",)}, "low", "low"),
        ({"unreadable": "language de"}, "low", "normal"),
    ],
)
@pytest.mark.parametrize("queues", [DEFAULT_QUEUES, (Queue(name="all"),), "by head"])
def test_a_doubtful_answer_makes_no_ticket_less_urgent_than_normal(
    changes: dict[str, Any], label: str, priority: str, queues: Any
) -> None:
    one = asked("returns", abstained=changes.get("abstained", ()), risk=(label, 0.5))
    one = msgspec.structs.replace(one, unreadable=changes.get("unreadable", ""))
    by_own_head = (Queue(name="returns", heads={"queue": ("returns",)}), Queue(name="rest"))
    routed = route(one, by_own_head if queues == "by head" else queues)
    assert routed is not None
    assert routed.priority == priority


RETURNS = Head(name="queue", labels=("returns", "delivery"))


def asked(queue: str, *, abstained: tuple[str, ...] = (), **heads: Any) -> Scored:
    """A ticket to which the head named queue answers too."""
    answer = HeadScore(queue, 0.9, {queue: 0.9}, "queue" in abstained)
    one = ticket(abstained=abstained, **heads)
    return msgspec.structs.replace(one, heads=one.heads | {"queue": answer})


BY_HEAD = (
    Queue(name="returns", heads={"queue": ("returns",)}),
    Queue(name="hot", heads={"queue": ("delivery",)}, risks=("high",)),
    Queue(name="rest"),
)


def test_a_head_of_ones_own_chooses_the_queue() -> None:
    tickets = [
        asked("returns", risk="high"),
        asked("delivery", risk="high"),
        asked("delivery", risk="low"),
        ticket(risk="high"),
    ]
    routed = [one for each in tickets if (one := route(each, BY_HEAD))]
    assert [one.queue for one in routed] == ["returns", "hot", "rest", "rest"]
    assert "queue returns" in routed[0].reason
    assert routed[0].priority == "urgent"


def test_doubt_of_a_head_that_decides_goes_to_review_and_of_another_does_not() -> None:
    doubtful = route(asked("returns", abstained=("queue",), risk="low"), BY_HEAD)
    assert doubtful is not None
    assert doubtful.queue == "review"
    assert "queue abstained" in doubtful.reason
    sure = route(asked("returns", abstained=("topic",), topic="cards", risk="low"), BY_HEAD)
    assert sure is not None
    assert sure.queue == "returns"


def test_topic_and_risk_decide_unless_only_other_heads_are_asked() -> None:
    assert deciding(DEFAULT_QUEUES) == ("topic", "risk")
    assert deciding([Queue(name="all")]) == ("topic", "risk")
    assert deciding([Queue(name="cards", topics=("cards",))]) == ("topic", "risk")
    assert deciding(BY_HEAD) == ("risk", "queue")


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        (Queue(name="a", topics=("card",)), "queues.0.topics: head topic has no .* mean 'cards'"),
        (Queue(name="a", heads={"queue": ("retruns",)}), "queues.0.heads.queue: .* mean 'returns'"),
        (Queue(name="a", heads={"mood": ("bad",)}), "queues.0.heads.mood: the model has no head"),
        (Queue(name="a", heads={"topic": ("cards",)}), "queues.0.heads.topic: .* write topics = "),
    ],
)
def test_a_queue_for_what_the_model_never_says_is_refused(queue: Queue, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        check_queues([queue, Queue(name="rest")], [*DEFAULT_HEADS, RETURNS])


def test_queues_that_suit_the_model_and_the_shipped_ones_are_taken() -> None:
    check_queues(BY_HEAD, [*DEFAULT_HEADS, RETURNS])
    check_queues(DEFAULT_QUEUES, DEFAULT_HEADS)
    check_queues(DEFAULT_QUEUES, [RETURNS])


def test_the_last_queue_takes_every_ticket() -> None:
    queues = [{"name": "a", "heads": {"queue": ["returns"]}}]
    with pytest.raises(ValueError, match="must have no topics, risks or heads"):
        Settings.model_validate({"queues": queues})


async def test_a_worker_serves_no_model_that_leaves_a_queue_empty() -> None:
    queues = [{"name": "billing", "topics": ["billing_fee"]}, {"name": "rest"}]
    with pytest.raises(SettingsError, match=r"queues\.0\.topics: .* mean 'billing_fees'"):
        Worker(Settings.model_validate({"queues": queues}), StubPredictor())
    queues[0]["topics"] = ["billing_fees"]
    worker = Worker(Settings.model_validate({"queues": queues}), StubPredictor())
    await refuse_a_model_without_billing_fees(worker)
    assert worker.swaps == 0


async def refuse_a_model_without_billing_fees(worker: Worker) -> None:
    fewer = tuple(
        msgspec.structs.replace(
            head, labels=tuple(one for one in head.labels if one != "billing_fees")
        )
        for head in DEFAULT_HEADS
    )
    with pytest.raises(SettingsError, match="has no label 'billing_fees'"):
        await worker._take_over(StubPredictor(heads=fewer, version="other"))


async def test_a_model_that_is_not_served_does_not_say_what_rules_may_ask(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rule = """
        [[rule]]
        name = "r"
        when = 'topic.label == "{label}"'
        subject = "customer"
        severity = "warning"
        title = "t"
        """
    rules.write_text(rule.format(label="cards"))
    settings = Settings.model_validate(
        {
            "queues": [{"name": "billing", "topics": ["billing_fees"]}, {"name": "rest"}],
            "alerting": {"rules": rules},
        }
    )
    worker = Worker(settings, StubPredictor())
    await refuse_a_model_without_billing_fees(worker)
    rules.write_text(rule.format(label="billing_fees"))
    assert worker.rules._read()
