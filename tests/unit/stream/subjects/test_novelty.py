"""What makes a text a copy of an earlier one, and what keeps it news."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from stream.config.subjects import Novelty
from stream.names import Keys
from stream.records import Origin, Scored, Subject
from stream.signals.windows import time_us
from stream.subjects.copies_in_memory import FirstEvents
from stream.subjects.copy_store import CopyStore, count_copies
from stream.subjects.novelty import Print, fingerprint
from tests.fakes import scored

STORY = (
    "Schlumberger to buy the oilfield equipment maker Cameron International "
    "for $12.7 billion in cash and stock $SLB $CAM"
)
DAY_S = 86_400.0


def store(client: Redis, *, remembered: int = 1_000, **novelty: Any) -> CopyStore:
    return CopyStore(client, Keys(), Novelty(**novelty), replay_s=500, remembered=remembered)


def event(number: int, text: str = STORY, **changes: Any) -> Scored:
    fields: dict[str, Any] = {
        "id": f"e{number}",
        "source": "social",
        "origin": Origin("social", 0, number),
        "text": text,
        "subjects": (Subject("ticker", "SLB"),),
    }
    return scored(**{**fields, **changes})


async def counted(client: Redis, event_id: str) -> int:
    (count,) = await count_copies(client, Keys(), [("social", event_id)])
    return count


async def copies(client: Redis, *batch: Scored) -> list[str]:
    return [one.copy_of for one in await store(client).mark(batch)]


@pytest.mark.parametrize(
    "text",
    [
        STORY,
        f"RT @desk: {STORY} https://t.co/other",
        STORY.upper(),
        f"{STORY[:-12]}\u2026",
        STORY.replace("$SLB", "#SLB").replace("to buy", "will buy"),
    ],
)
async def test_retweets_and_syndicated_texts_are_copies(client: Redis, text: str) -> None:
    first, second = await store(client).mark([event(1), event(2, text)])
    assert (first.copy_of, first.novelty) == ("", 1.0)
    assert second.copy_of == "e1"
    assert second.novelty <= 0.3
    assert [subject.novelty for subject in second.subjects] == [second.novelty]
    assert await counted(client, "e1") == 1


@pytest.mark.parametrize(
    "other",
    [
        {"text": STORY.replace("12.7", "14.8")},
        {"subjects": (Subject("ticker", "SLB"), Subject("ticker", "HAL"))},
        {"text": "Cameron International has a new head of research, says Schlumberger today"},
        {"source": "news"},
        {"after_s": DAY_S + 1},
        {"after_s": -DAY_S - 1},
    ],
    ids=["number", "company", "story", "kind", "later", "earlier"],
)
async def test_what_adds_something_is_no_copy(client: Redis, other: dict[str, Any]) -> None:
    assert await copies(client, event(1), event(2, **other)) == ["", ""]


async def test_a_decimal_made_of_the_parts_of_others_is_another_number(client: Redis) -> None:
    text = "the operating profit of Halcyon rose to EUR 4.7 mn from EUR {} mn, it said on Monday"
    told = [text.format(before) for before in ("3.6", "4.6", "3.6")]
    first, other, again = await store(client).mark([event(n, one) for n, one in enumerate(told)])
    assert (other.copy_of, again.copy_of) == ("", first.id)


async def test_copies_are_linked_to_the_first_whatever_the_batches_and_workers(
    client: Redis,
) -> None:
    assert await copies(client, event(1)) == [""]
    several = await asyncio.gather(*(copies(client, event(n)) for n in range(2, 12)))
    assert several == [["e1"]] * 10
    assert await counted(client, "e1") == 10


async def test_the_same_words_of_two_customers_are_two_tickets(client: Redis) -> None:
    def ticket(number: int, customer: str) -> Scored:
        text = "My card was declined at the supermarket this morning, please help me"
        return event(number, text, source="ticket", customer=customer, subjects=())

    batch = [ticket(1, "ann"), ticket(2, "bob"), ticket(3, "ann"), ticket(4, ""), ticket(5, "")]
    assert await copies(client, *batch) == ["", "", "e1", "", ""]


async def test_too_few_words_are_never_a_copy(client: Redis) -> None:
    assert await copies(client, event(1, "buy $SLB now"), event(2, "buy $SLB now")) == ["", ""]


async def test_a_redelivered_event_gets_its_first_answer_and_counts_once(client: Redis) -> None:
    # The later text holds all of the earlier one, so it would make a copy of it.
    batch = [event(1, STORY.replace("$12.7 billion ", "")), event(2), event(3)]
    before = await store(client).mark(batch)
    assert [one.copy_of for one in before] == ["", "", "e2"]
    assert await store(client).mark(batch) == before
    assert await store(client).mark([batch[0]]) == [before[0]]
    assert await counted(client, "e2") == 1


@pytest.mark.parametrize("kept", [b"", b"2 0.0000 social:e1", b"2 1.0000 "])
async def test_another_event_at_an_offset_is_compared_by_itself(client: Redis, kept: bytes) -> None:
    """As in a topic made anew; kept is what a worker left there that knew no names."""
    await store(client).mark([event(1), event(2)])
    answers = f"{Keys().novelty_answers}social:0"
    written = await client.hget(answers, "2")
    # Nor does such a worker take ours for its own.
    assert not written[:1].isdigit()
    if kept:
        await client.hset(answers, "2", kept)
    text = "Bank halts withdrawals as regulators seize its offices this morning"
    for other in (event(2, text, id="e 2 x"), event(2, text, id="e")):
        (found,) = await store(client).mark([other])
        assert (found.copy_of, found.novelty) == (
            ("", 1.0) if other.id == "e 2 x" else ("e 2 x", 0.0)
        )
        assert await store(client).mark([other]) == [found]


async def test_workers_of_two_versions_read_what_the_other_wrote(client: Redis) -> None:
    one = event(1)
    found = fingerprint(one)
    assert found is not None
    entry = f"{time_us(one.time)} {found.sketch} {found.facts} social:e1".encode()
    await store(client).mark([one])
    for slot in found.slots:
        assert await client.hget(Keys().novelty, str(slot % Novelty().remember)) == entry
    answers = f"{Keys().novelty_answers}social:0"
    assert await client.hget(answers, "1") == b"@1 9 social:e1 1.0000 "
    await client.hset(answers, "2", "@2 9 social:e2 0.0625 social:e9")
    (again,) = await store(client).mark([event(2)])
    assert (again.copy_of, again.novelty) == ("e9", 0.0625)


async def test_nothing_is_compared_with_a_window_of_zero(client: Redis) -> None:
    batch = [event(1), event(2)]
    assert await store(client, window_s=0).mark(batch) == batch
    assert await client.keys("*") == []


async def test_what_redis_keeps_is_bounded_and_expires(client: Redis) -> None:
    numbers = range(2_000)
    texts = [" ".join(f"w{n * 7 % 1_999}x{k}" for k in range(8)) for n in numbers]
    batch = [event(n, text) for n, text in zip(numbers, texts, strict=True)]
    await store(client, remember=1_000, remembered=100).mark([*batch, event(2_000, texts[-1])])
    assert await client.hlen(Keys().novelty) <= 1_000
    answers = f"{Keys().novelty_answers}social:0"
    assert await client.hlen(answers) <= 100
    for key in await client.keys("*"):
        assert await client.ttl(key) > 0


WORDS = ["oil", "gold", "bank", "buys", "sells", "shares", "of", "the", "at", "3", "7", "$SLB"]
words = st.lists(st.sampled_from(WORDS))


@given(texts=st.lists(words.map(" ".join), min_size=1, max_size=12), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_answers_depend_neither_on_batches_nor_on_redelivery(
    texts: list[str], data: st.DataObject
) -> None:
    batch = [event(number, text) for number, text in enumerate(texts)]
    async with FakeAsyncRedis() as whole, FakeAsyncRedis() as parts:
        expected = await store(whole).mark(batch)
        got = []
        for one in batch:
            got += await store(parts).mark([one])
            again = data.draw(st.integers(0, one.origin.offset))
            assert await store(parts).mark(batch[again : one.origin.offset + 1]) == got[again:]
    assert got == expected
    for one in got:
        assert 0 <= one.novelty <= 1
        assert not one.copy_of or one.novelty <= 1 - Novelty().similarity + 1e-3


# Parts of one story, with a number, a ticker or nothing behind.
LONG_STORY = "oil prices fall for the 3rd day as producers meet to talk about output cuts"
parts_of_a_story = st.builds(
    lambda start, end, tail: " ".join([*LONG_STORY.split()[start:end], tail]),
    st.integers(0, 3),
    st.integers(11, 15),
    st.sampled_from(["", "", "7", "3rd", "again"]),
)
few_posts = st.lists(
    st.tuples(
        parts_of_a_story,
        st.integers(0, 30),
        st.sampled_from(["social", "social", "news", "ticket"]),
        st.sampled_from(["ann", "bob", ""]),
        st.sampled_from(["SLB", "HAL"]),
        st.sampled_from([0, 1, 60, 61, 100]),
    ),
    min_size=2,
    max_size=20,
)


@given(
    posts=few_posts,
    window_s=st.sampled_from([0, 60, 100]),
    similarity=st.sampled_from([0.3, 0.7, 1.0]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_memory_gives_the_answers_of_redis(
    posts: list[tuple[str, int, str, str, str, int]], window_s: int, similarity: float
) -> None:
    batch = [
        event(
            place,
            text,
            # Some come twice.
            id=f"e{number}",
            source=kind,
            customer=customer,
            subjects=(Subject("ticker", ticker),),
            after_s=after_s,
        )
        for place, (text, number, kind, customer, ticker, after_s) in enumerate(posts)
    ]
    async with FakeAsyncRedis() as redis:
        compared = store(redis, window_s=window_s, similarity=similarity)
        expected = await compared.mark(batch)
    memory = FirstEvents(Novelty(window_s=window_s, similarity=similarity))
    assert [memory.mark(one) for one in batch] == expected


@given(st.text(max_size=200))
def test_any_text_has_a_print_or_none(text: str) -> None:
    found = fingerprint(event(1, text))
    if found:
        assert len(found.sketch) % 8 == len(found.facts) % 8 == 0
        assert 1 <= len(found.slots) <= 3


def test_prints_are_those_that_redis_holds_from_before() -> None:
    """What is compared with must have been computed alike, by whichever version of a worker."""
    texts = [
        "Oil prices fall 4.7% to 61.30 dollars, or 7.4, as $SLB cuts 3 rigs",
        "RT @user \u00dcberraschung: \u00d6l f\u00e4llt um \u00bd Prozent https://x.y/z",
        "please call me back",
    ]
    assert [fingerprint(event(number, text)) for number, text in enumerate(texts)] == [
        Print(
            sketch="073d1e0320d83309270d62d82ba65a0c34396bca3505ae943c79950d492a2419"
            "4b6a32f070c61c9e7ed1a011843ba86d9450210aa7db3f2fc6e3dd1cd34ba28c",
            slots=(121445891, 551039753, 655188696),
            facts="40b51b8955a5694e6abf4a826dd28e9b6f99387d936b4763991b83b0f3b61b38f4d6d79e",
        ),
        Print(
            sketch="362d866b89d37c75c6e1df36cc59ff0add979a18",
            slots=(908953195, 2312338549, 3336691510),
            facts="0dc5680255a5694e",
        ),
        None,
    ]
