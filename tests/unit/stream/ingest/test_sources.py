"""A raw record becomes the event its user meant, or a dead letter that says what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.config.settings import Fields, Limits, SettingsError, Source
from stream.ingest.dead_letter import DeadLetter
from stream.ingest.fields import MAX_TICKER_CHARS, MAX_TICKERS
from stream.ingest.sources import Decoder
from stream.names import MAX_ID_CHARS
from stream.records import Event, Origin

NOW = datetime(2026, 3, 12, 8, 0, tzinfo=UTC)
BROKER_TIME = datetime(2026, 3, 12, 7, 59, 58, 500_000, tzinfo=UTC)
LIMITS = Limits(max_record_bytes=50_000, max_text_chars=200)
DEFAULTS = Source(topic="news", kind="news")


class Record(NamedTuple):
    value: bytes | None
    topic: str = "news"
    partition: int = 3
    offset: int = 42
    key: bytes | None = b"key"
    timestamp: int = int(BROKER_TIME.timestamp() * 1000)
    headers: tuple[tuple[str, bytes], ...] = (("trace", b"\x00\xff"),)


def decode(
    value: bytes | dict[str, Any] | None, fields: dict[str, str] | None = None, **record: Any
) -> Event | DeadLetter:
    if isinstance(value, dict):
        value = json.dumps(value).encode()
    source = Source(topic="news", kind="news", fields=Fields(**(fields or {})))
    return Decoder(source, LIMITS).decode(Record(value, **record), NOW)


def event(value: dict[str, Any] | bytes, fields: dict[str, str] | None = None) -> Event:
    decoded = decode(value, fields)
    assert isinstance(decoded, Event), decoded
    return decoded


def refused(
    value: bytes | dict[str, Any] | None, fields: dict[str, str] | None = None
) -> DeadLetter:
    decoded = decode(value, fields)
    assert isinstance(decoded, DeadLetter), decoded
    return decoded


@pytest.mark.parametrize(
    "beside",
    [
        {"key": b"k" * 49_000},
        {"headers": (("h", b"v" * 49_000),)},
        {"headers": (("h" * 49_000, b""),)},
    ],
)
def test_key_and_headers_count_in_a_records_size(beside: dict[str, Any]) -> None:
    value = {"text": "x" * 2_000}
    letter = decode(value, **beside)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "oversize"
    assert "key and headers included" in letter.detail
    assert isinstance(decode(value), Event)


def test_the_default_fields_need_no_mapping() -> None:
    assert event(
        {
            "id": "n-1",
            "text": "Halcyon recalls 40,000 vans.",
            "title": "Recall",
            "time": "2026-03-12T07:00:20+01:00",
            "author": "Wire",
            "tickers": ["HALC"],
            "customer": "c-9",
            "lang": "en",
            "region": {"code": "EU"},
        }
    ) == Event(
        id="n-1",
        source="news",
        origin=Origin("news", 3, 42),
        key=b"key",
        text="Halcyon recalls 40,000 vans.",
        title="Recall",
        time=datetime(2026, 3, 12, 6, 0, 20, tzinfo=UTC),
        received_at=NOW,
        author="Wire",
        lang="en",
        customer="c-9",
        tickers=("HALC",),
        attributes={"region": {"code": "EU"}},
    )


def test_a_text_alone_is_an_event() -> None:
    alone = event({"text": "The van is late and the shop said that it is sorry."})
    assert alone.id == "news-3-42"
    assert alone.time == BROKER_TIME
    assert alone.lang == "en"
    assert (alone.title, alone.author, alone.customer) == ("", "", "")
    assert (alone.tickers, alone.attributes) == ((), {})


class TestMapping:
    def test_nested_names_and_expressions_find_the_fields(self) -> None:
        mapped = event(
            {
                "meta": {"uid": 77, "ts": 1_773_298_820_000},
                "payload": {"my body": "Van recalled", "symbols": [{"s": "halc"}, {"s": "norr"}]},
            },
            {
                "id": "meta.uid",
                "time": "meta.ts",
                "text": 'payload."my body"',
                "tickers": "payload.symbols[].s",
                "author": "payload.by || 'unknown'",
            },
        )
        assert mapped.id == "77"
        assert mapped.text == "Van recalled"
        assert mapped.time == datetime(2026, 3, 12, 7, 0, 20, tzinfo=UTC)
        assert mapped.tickers == ("HALC", "NORR")
        assert mapped.author == "unknown"

    def test_names_leave_the_attributes_and_expressions_do_not(self) -> None:
        mapped = event(
            {"a": {"b": {"text": "body"}, "kept": 1}, "empty": {"title": "t"}, "tags": ["X"]},
            {"text": "a.b.text", "title": "empty.title", "tickers": "tags[:1]"},
        )
        assert mapped.attributes == {"a": {"kept": 1}, "tags": ["X"]}

    def test_one_name_may_serve_two_fields(self) -> None:
        mapped = event({"user": "u-1", "text": "body"}, {"author": "user", "customer": "user"})
        assert (mapped.author, mapped.customer, mapped.attributes) == ("u-1", "u-1", {})

    def test_a_path_through_something_else_finds_nothing(self) -> None:
        assert event({"text": "body", "meta": [1]}, {"id": "meta.uid"}).id == "news-3-42"

    def test_a_refusal_names_the_field_and_the_users_path(self) -> None:
        letter = refused({"payload": {"body": ["x"]}}, {"text": "payload.body"})
        assert (letter.reason, letter.field) == ("wrong_type", "text")
        assert letter.detail == "payload.body is a list; a string is needed"

    def test_an_expression_that_fails_on_a_record_is_a_wrong_type(self) -> None:
        letter = refused({"text": "body", "tags": 5}, {"tickers": "sort(tags)"})
        assert (letter.reason, letter.field) == ("wrong_type", "tickers")

    def test_functions_with_any_number_of_arguments_are_known(self) -> None:
        mapped = event(
            {"head": "a", "tail": "b"}, {"text": "join(' ', [head, not_null(x, y, tail)])"}
        )
        assert mapped.text == "a b"

    @pytest.mark.parametrize(
        "expression", ["", "a..b", "my-text", 'no"end', "shout(text)", "length(a, b)", "a[?b"]
    )
    def test_a_bad_expression_is_named_at_the_start(self, expression: str) -> None:
        source = Source(topic="posts", kind="social", fields=Fields(text=expression))
        with pytest.raises(SettingsError, match=r"sources\.posts\.fields\.text") as caught:
            Decoder(source, LIMITS)
        assert "\n" not in str(caught.value)


class TestRecord:
    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (None, "tombstone"),
            (b" " * 50_001, "oversize"),
            (b'{"text": "caf\xe9"}', "not_utf8"),
            ('{"text": "a"}'.encode("utf-16"), "not_utf8"),
            (b"", "not_json"),
            (b"  ", "not_json"),
            (b"this is not json", "not_json"),
            (b'{"text": "a"} {}', "not_json"),
            (b'{"text": NaN}', "not_json"),
            (b'{"text": "a", "n": Infinity}', "not_json"),
            (b'{"text": "a", "n": 1e999}', "not_json"),
            (b'{"text": "half a pair \\ud83d"}', "not_json"),
            (b'{"text": "raw \x00"}', "not_json"),
            (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "not_json"),
            (b"[" * 40_000, "not_json"),
            (b'["a", "list"]', "not_an_object"),
            (b'"text"', "not_an_object"),
            (b"null", "not_an_object"),
            (b"1", "not_an_object"),
        ],
    )
    def test_what_is_no_json_object_is_refused_as_a_whole(
        self, value: bytes | None, reason: str
    ) -> None:
        letter = refused(value)
        assert (letter.reason, letter.field) == (reason, "")
        assert letter.detail

    def test_the_number_of_a_schema_in_front_of_json_is_skipped(self) -> None:
        assert event(b'\x00\x00\x00\x00\x2a{"text": "Acme is in trouble"}').text == (
            "Acme is in trouble"
        )

    @pytest.mark.parametrize(
        "value", [b"\x00\x00\x00\x00\x2a\x04\x0aAcme\xff", b"\x00", b"\x00" * 5]
    )
    def test_avro_and_protobuf_are_refused_by_name(self, value: bytes) -> None:
        letter = refused(value)
        assert (letter.reason, letter.field) == ("not_json", "")
        assert "Avro" in letter.detail

    def test_a_dead_letter_carries_the_record_whole(self) -> None:
        letter = refused(b"\xff")
        assert letter.origin == Origin("news", 3, 42)
        assert (letter.key, letter.value) == (b"key", b"\xff")
        assert letter.headers == (("trace", b"\x00\xff"),)
        assert letter.time == NOW
        assert DeadLetter.decode(letter.encode()) == letter

    def test_a_header_without_a_value_does_no_harm(self) -> None:
        letter = decode(None, headers=(("empty", None),))
        assert isinstance(letter, DeadLetter)
        assert DeadLetter.decode(letter.encode()).headers == (("empty", b""),)

    def test_a_byte_order_mark_is_passed_over(self) -> None:
        assert event(b'\xef\xbb\xbf{"text": "body"}').text == "body"

    def test_the_last_of_duplicate_names_counts(self) -> None:
        assert event(b'{"text": "first", "text": "second"}').text == "second"

    def test_a_record_of_exactly_the_largest_size_is_read(self) -> None:
        beside = len("key") + len("trace") + len(b"\x00\xff")
        padding = 50_000 - beside - len('{"text": "a", "p": ""}')
        assert event(b'{"text": "a", "p": "%s"}' % (b"x" * padding)).text == "a"


class TestText:
    def test_text_and_title_are_cleaned_and_cut(self) -> None:
        cleaned = event({"text": "A&amp;B\u0000 \u001b[31m" + "x" * 300, "title": " two\n lines "})
        assert cleaned.text == "A&B " + "x" * 196
        assert cleaned.title == "two lines"

    @pytest.mark.parametrize("text", [{}, {"text": None}, {"text": ""}, {"text": " \u200b\n"}])
    def test_the_title_stands_in_for_a_missing_text(self, text: dict[str, Any]) -> None:
        titled = event({**text, "title": "Only a headline"})
        assert (titled.text, titled.title) == ("Only a headline", "Only a headline")

    @pytest.mark.parametrize("text", [{}, {"text": None}, {"text": " \u0000 "}])
    def test_without_text_and_title_there_is_no_event(self, text: dict[str, Any]) -> None:
        letter = refused({"id": "x", **text})
        assert (letter.reason, letter.field) == ("no_text", "text")

    @pytest.mark.parametrize("field", ["text", "title", "lang"])
    @pytest.mark.parametrize("value", [42, 1.5, True, ["a"], {"a": "b"}])
    def test_what_must_be_a_string_is_not_guessed_from_other_types(
        self, field: str, value: Any
    ) -> None:
        letter = refused({"text": "body", "title": "headline", field: value})
        assert (letter.reason, letter.field) == ("wrong_type", field)


class TestId:
    @pytest.mark.parametrize("given_id", ["n-1", " spaced ", "日本-1", "a:b/c#d&amp;", "x" * 512])
    def test_an_id_is_kept_as_it_is(self, given_id: str) -> None:
        assert event({"id": given_id, "text": "body"}).id == given_id

    @pytest.mark.parametrize(
        ("number", "text"), [(0, "0"), (-7, "-7"), (2**64 - 1, str(2**64 - 1))]
    )
    def test_an_integer_is_an_id(self, number: int, text: str) -> None:
        assert event({"id": number, "text": "body"}).id == text

    @pytest.mark.parametrize("nothing", [None, "", "  "])
    def test_without_an_id_the_place_in_kafka_names_the_event(self, nothing: Any) -> None:
        assert event({"id": nothing, "text": "body"}).id == "news-3-42"

    @pytest.mark.parametrize("value", [True, False, 1.0, 2**64, ["x"], {"a": 1}])
    def test_an_id_of_another_type_is_refused(self, value: Any) -> None:
        letter = refused({"id": value, "text": "body"})
        assert (letter.reason, letter.field) == ("wrong_type", "id")

    @pytest.mark.parametrize(
        "value", ["x" * (MAX_ID_CHARS + 1), "a\nb", "a\x1b[2Jb", "a\u0000", "\u202eabc", "a\u200bb"]
    )
    def test_an_id_that_would_harm_logs_and_keys_is_refused(self, value: str) -> None:
        letter = refused({"id": value, "text": "body"})
        assert (letter.reason, letter.field) == ("bad_value", "id")
        assert letter.detail.isprintable()


class TestTime:
    @pytest.mark.parametrize("nothing", [None, "", " "])
    def test_without_a_time_the_brokers_counts(self, nothing: Any) -> None:
        assert event({"text": "body", "time": nothing}).time == BROKER_TIME

    def test_without_any_time_it_is_now(self) -> None:
        decoded = decode({"text": "body"}, timestamp=-1)
        assert isinstance(decoded, Event)
        assert decoded.time == NOW

    @pytest.mark.parametrize("timestamp", [0, 2**62, int(NOW.timestamp() + 90_000) * 1000])
    def test_an_absurd_broker_time_is_refused(self, timestamp: int) -> None:
        letter = decode({"text": "body"}, timestamp=timestamp)
        assert isinstance(letter, DeadLetter)
        assert (letter.reason, letter.field) == ("absurd_time", "time")

    @pytest.mark.parametrize("value", [True, False, ["2026"], {"a": 1}])
    def test_a_time_of_another_type_is_refused(self, value: Any) -> None:
        letter = refused({"text": "body", "time": value})
        assert (letter.reason, letter.field) == ("wrong_type", "time")

    @pytest.mark.parametrize("value", ["yesterday-ish", "2026-02-30", "\x1b[2J", 1e300, 2**64 - 1])
    def test_an_unreadable_time_is_refused(self, value: Any) -> None:
        letter = refused({"text": "body", "time": value})
        assert (letter.reason, letter.field) == ("bad_time", "time")
        assert letter.detail.isprintable()

    @pytest.mark.parametrize(
        "value", ["2199-01-01T00:00:00Z", "1889-01-01", 20_260_312, -1, 0, 1e11]
    )
    def test_an_absurd_time_is_refused(self, value: Any) -> None:
        letter = refused({"text": "body", "time": value})
        assert (letter.reason, letter.field) == ("absurd_time", "time")

    def test_the_limits_themselves_are_allowed(self) -> None:
        latest = NOW + timedelta(seconds=LIMITS.max_future_s)
        assert event({"text": "body", "time": latest.isoformat()}).time == latest
        oldest = datetime.fromisoformat(LIMITS.oldest_time)
        assert event({"text": "body", "time": LIMITS.oldest_time}).time == oldest

    def test_an_unreadable_oldest_time_is_named_at_the_start(self) -> None:
        with pytest.raises(SettingsError, match=r"limits\.oldest_time"):
            Decoder(DEFAULTS, Limits(oldest_time="long ago"))

    def test_the_future_may_be_unlimited(self) -> None:
        decoder = Decoder(DEFAULTS, Limits(max_future_s=1e300))
        far = decoder.decode(Record(b'{"text": "a", "time": "9999-12-31"}'), NOW)
        assert isinstance(far, Event)


class TestNames:
    @pytest.mark.parametrize("field", ["author", "customer"])
    def test_a_name_is_a_cleaned_string_or_an_integer(self, field: str) -> None:
        assert getattr(event({"text": "b", field: " A&amp;B\u0007 "}), field) == "A&B"
        assert getattr(event({"text": "b", field: 1042}), field) == "1042"
        assert getattr(event({"text": "b", field: None}), field) == ""

    def test_a_customer_is_never_cut_since_two_could_become_one(self) -> None:
        assert event({"text": "b", "customer": f"{'x' * 512} "}).customer == "x" * 512
        letter = refused({"text": "b", "customer": "x" * 513})
        assert (letter.reason, letter.field) == ("bad_value", "customer")
        assert "512" in letter.detail
        assert event({"text": "b", "author": "x" * 513}).author == "x" * 512

    @pytest.mark.parametrize("field", ["id", "customer"])
    def test_a_number_that_an_expression_gives_is_bounded_too(self, field: str) -> None:
        letter = refused({"text": "b", "digits": "9" * 513}, {field: "to_number(digits)"})
        assert (letter.reason, letter.field) == ("bad_value", field)

    @pytest.mark.parametrize("field", ["author", "customer"])
    @pytest.mark.parametrize("value", [True, 1.5, ["a"], {"name": "a"}])
    def test_a_name_of_another_type_is_refused(self, field: str, value: Any) -> None:
        letter = refused({"text": "body", field: value})
        assert (letter.reason, letter.field) == ("wrong_type", field)


class TestLanguage:
    @pytest.mark.parametrize(
        ("given_lang", "lang"),
        [
            ("EN", "en"),
            ("pt_BR", "pt-br"),
            (" zh-Hant-TW ", "zh-hant-tw"),
            ("eng", "en"),
            ("GER-AT", "de-at"),
            ("yue", "yue"),
        ],
    )
    def test_the_users_language_is_kept_in_lower_case(self, given_lang: str, lang: str) -> None:
        assert event({"text": "公司今年不会关闭工厂", "lang": given_lang}).lang == lang

    @pytest.mark.parametrize("no_tag", [None, "", "中文", "English", "en/../x", "a-" * 30, "en\n"])
    def test_without_a_language_tag_the_text_tells(self, no_tag: Any) -> None:
        expected = "en" if no_tag == "en\n" else "zh"
        assert event({"text": "公司今年不会关闭工厂", "lang": no_tag}).lang == expected


class TestTickers:
    @pytest.mark.parametrize(
        ("value", "tickers"),
        [
            (["$halc", "HALC", " norr ", "BRK.B", ""], ("HALC", "NORR", "BRK.B")),
            ("$HALC, norr;bryn\tHALC", ("HALC", "NORR", "BRYN")),
            (["ha\u200blc\u0000"], ("HALC",)),
            ("", ()),
            ([], ()),
            (None, ()),
            (
                [f"T{place}" for place in range(60)],
                tuple(f"T{place}" for place in range(MAX_TICKERS)),
            ),
        ],
    )
    def test_tickers_are_upper_case_without_dollar_and_each_once(
        self, value: Any, tickers: tuple[str, ...]
    ) -> None:
        assert event({"text": "body", "tickers": value}).tickers == tickers

    @pytest.mark.parametrize("value", [{"a": 1}, 5, 0, False, [5], ["A", None], [["A"]], [True]])
    def test_tickers_of_another_type_are_refused(self, value: Any) -> None:
        letter = refused({"text": "body", "tickers": value})
        assert (letter.reason, letter.field) == ("wrong_type", "tickers")

    def test_a_sentence_is_no_ticker(self) -> None:
        letter = refused({"text": "body", "tickers": ["A" * (MAX_TICKER_CHARS + 1)]})
        assert (letter.reason, letter.field) == ("bad_value", "tickers")


# Objects that are nearly events: known fields with values of all kinds, and others beside them.
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELD_NAMES = st.sampled_from([*Fields.model_fields, "payload"]) | st.text()
OBJECTS = st.dictionaries(FIELD_NAMES, JSON_VALUES).map(lambda value: json.dumps(value).encode())
COMPUTING = Decoder(
    Source(
        topic="news",
        kind="news",
        fields=Fields(id="payload.id", text="text || title", tickers="keys(payload)"),
    ),
    LIMITS,
)
DECODERS = st.sampled_from([Decoder(DEFAULTS, LIMITS), COMPUTING])


# JMESPath quotes the value it can't compute with: here a character that Unicode has not assigned.
@example(COMPUTING, b'{"payload":"\\ud80a\\udc00"}', 0)
@given(DECODERS, st.none() | st.binary() | OBJECTS, st.integers(-1, 2**63 - 1))
def test_any_bytes_become_an_event_or_an_encodable_dead_letter(
    decoder: Decoder, value: bytes | None, timestamp: int
) -> None:
    decoded = decoder.decode(Record(value, timestamp=timestamp), NOW)
    if isinstance(decoded, Event):
        assert decoded.text
    else:
        assert decoded.value == value
        assert decoded.detail.isprintable()
        assert DeadLetter.decode(decoded.encode()) == decoded


PRINTABLE_IDS = st.text(min_size=1, max_size=MAX_ID_CHARS).filter(
    lambda text: text.isprintable() and not text.isspace()
)
READABLE_TEXTS = st.text(st.characters(categories=["L", "N"]), min_size=1)
TIMES = st.datetimes(datetime(1990, 1, 2), NOW.replace(tzinfo=None), timezones=st.timezones())  # noqa: DTZ001 - the strategy adds the zone


@given(PRINTABLE_IDS | st.integers(-(2**63), 2**64 - 1), READABLE_TEXTS, TIMES)
def test_a_valid_record_becomes_an_event_with_its_id_and_time(
    given_id: str | int, text: str, time: datetime
) -> None:
    decoded = event({"id": given_id, "text": text, "time": time.isoformat()})
    assert decoded.id == str(given_id)
    assert decoded.time == time.astimezone(UTC)
