"""Each ticket has one place, and a reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream.records import Scored
from stream.settings import DEFAULT_QUEUES, Queue
from stream.tickets import route
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
