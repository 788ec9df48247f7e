"""Who and what an event is about: tickers, the customer, the predicted topic. Pure."""

from __future__ import annotations

import re

from stream.records import Event, Subject

# A letter must follow the dollar sign, or prices would be companies.
CASH_TAG = re.compile(r"\$([A-Za-z]{1,6}(?:\.[A-Za-z]{1,2})?)(?![A-Za-z0-9])")
# A post that lists many tickers says little about each; an even share keeps the sum at one.
SHARED_FROM = 3


def find_subjects(event: Event, topic: str | None) -> tuple[Subject, ...]:
    """Subjects in the order ticker, customer, topic; each at most once.

    A ticker is fully relevant (1.0) when it stands in the record's own list or in the title. One
    that is only a cash tag in the text is too, unless three or more share the text: then each gets
    an even part. topic is the model's answer, None when it abstained.
    """
    tickers = dict.fromkeys(event.tickers, 1.0)
    if "$" in event.title:
        for tag in CASH_TAG.findall(event.title):
            tickers.setdefault(tag.upper(), 1.0)
    if "$" in event.text:
        tags = {tag.upper() for tag in CASH_TAG.findall(event.text)}
        share = 1.0 if len(tags) < SHARED_FROM else round(1.0 / len(tags), 3)
        for tag in sorted(tags):
            tickers.setdefault(tag, share)
    subjects = [Subject("ticker", ticker, relevance) for ticker, relevance in tickers.items()]
    if event.customer:
        subjects.append(Subject("customer", event.customer))
    if topic and topic != "other":
        subjects.append(Subject("topic", topic))
    return tuple(subjects)
