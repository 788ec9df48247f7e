"""What stands in a field of a record, as an event has it, or why it can't be taken. Pure."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from stream.ingest.dead_letter import Reason
from stream.ingest.language import detect_language
from stream.ingest.text import clean_text
from stream.names import MAX_ID_CHARS
from stream.records import Origin

MAX_NAME_CHARS = 512
MAX_LANG_CHARS = 35
MAX_TICKERS = 50
MAX_TICKER_CHARS = 32

# No language has a longer code; "english" is a word, and detected as if it were missing.
_LANGUAGE_TAG = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{1,8})*")
# A tag begins with the shortest code (RFC 5646, 2.2.1), but some write ISO 639-2 or 639-3.
_SHORTEST_CODES = {
    "ara": "ar", "bul": "bg", "ces": "cs", "cze": "cs", "chi": "zh", "zho": "zh", "dan": "da",
    "deu": "de", "ger": "de", "dut": "nl", "nld": "nl", "ell": "el", "gre": "el", "eng": "en",
    "fas": "fa", "per": "fa", "fin": "fi", "fra": "fr", "fre": "fr", "heb": "he", "hin": "hi",
    "hun": "hu", "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "nor": "no", "pol": "pl",
    "por": "pt", "ron": "ro", "rum": "ro", "rus": "ru", "spa": "es", "swe": "sv", "tha": "th",
    "tur": "tr", "ukr": "uk", "vie": "vi",
}  # fmt: skip
_TICKER_SEPARATORS = re.compile(r"[\s,;]+")
_JSON_TYPES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number with a fraction or beyond 64 bits",
}


class RefusalError(Exception):
    """field is of Event, or empty for the whole record; problem follows the field's name."""

    def __init__(self, reason: Reason, field: str, problem: str) -> None:
        super().__init__(reason, field, problem)
        self.reason = reason
        self.field = field
        self.problem = problem


def identity_of(value: Any, origin: Origin) -> str:
    """The user's id, untouched, else the place it was read at, so that a replay finds it again.

    Ids go into Redis keys, logs and terminals as they are; mending one could make two of them
    equal, so one with unprintable characters is refused.
    """
    if value is None:
        return origin.record_id
    if type(value) is int:
        value = str(value)
    if type(value) is not str:
        refuse_type("id", value, "a string or an integer")
    if not value.strip():
        return origin.record_id
    if len(value) > MAX_ID_CHARS:
        raise RefusalError(
            "bad_value", "id", f"has {len(value)} characters; {MAX_ID_CHARS} at most are allowed"
        )
    if not value.isprintable():
        raise RefusalError("bad_value", "id", f"is {quote(value)}, with unprintable characters")
    return value


def text_of(field: str, value: Any, max_chars: int) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        refuse_type(field, value, "a string")
    return clean_text(value, max_chars)


def name_of(field: str, value: Any) -> str:
    if value is None:
        return ""
    if type(value) is int:
        value = str(value)
    if type(value) is not str:
        refuse_type(field, value, "a string or an integer")
    name = clean_text(value, MAX_NAME_CHARS + 1)
    if len(name) > MAX_NAME_CHARS and field == "customer":
        # Alerts are by customer, and two that are cut could become one.
        raise RefusalError(
            "bad_value", field, f"has more than {MAX_NAME_CHARS} characters; so many are allowed"
        )
    return name[:MAX_NAME_CHARS]


def language_of(value: Any, text: str) -> str:
    """The user's language tag in lower case; without a well-formed one, the detected one."""
    if value is not None:
        if type(value) is not str:
            refuse_type("lang", value, "a string")
        tag = value.strip().lower().replace("_", "-")
        if len(tag) <= MAX_LANG_CHARS and _LANGUAGE_TAG.fullmatch(tag):
            primary, *rest = tag.split("-")
            return "-".join([_SHORTEST_CODES.get(primary, primary), *rest])
    return detect_language(text)


def tickers_of(value: Any) -> tuple[str, ...]:
    """The first MAX_TICKERS listed, in upper case, without "$", each once."""
    if type(value) is str:
        listed = _TICKER_SEPARATORS.split(value)
    elif type(value) is list:
        listed = value
    else:
        refuse_type("tickers", value, "a list of strings or one string")
    tickers: dict[str, None] = {}
    for item in listed[:MAX_TICKERS]:
        if type(item) is not str:
            refuse_type("tickers", item, "a list of strings", prefix="holds")
        ticker = clean_text(item, MAX_TICKER_CHARS + 1).lstrip("$").strip().upper()
        if len(ticker) > MAX_TICKER_CHARS:
            raise RefusalError(
                "bad_value",
                "tickers",
                f"holds {quote(ticker)}, longer than {MAX_TICKER_CHARS} characters",
            )
        if ticker:
            tickers[ticker] = None
    return tuple(tickers)


def refuse_type(field: str, value: Any, wanted: str, *, prefix: str = "is") -> NoReturn:
    raise RefusalError("wrong_type", field, f"{prefix} {json_type(value)}; {wanted} is needed")


def json_type(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "null")


def quote(value: Any) -> str:
    """The value for a message: short, and with control characters escaped."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."  # noqa: PLR2004 - a line's worth
