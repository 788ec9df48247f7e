"""Whether a text is one that the model can judge at all: its language, and enough words. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from models.spec import Scores
from stream.ingest.language import UNDETERMINED

MIN_WORDS = 2
GLANCE = 8
# "thx", "pls", "btw"
LONGEST_WITHOUT_VOWEL = 4
# What is no word of the writer's: links, addresses, mentions and bare numbers.
_NOT_WORDS = re.compile(r"https?://\S+|<[a-z]+>|@\w+|\b[\d.,:%]+\b")
# A cash tag or hash tag counts as a word; a keyboard run ("sdfghjkl", "zzzzz") holds no vowel.
_WORD = re.compile(r"[^\W\d_]{2,}")
_VOWEL = re.compile(r"[aeiouy]", re.IGNORECASE)


def why_unreadable(text: str, lang: str, languages: Sequence[str]) -> str:
    """Why no answer about this text would mean anything; empty if the model can read it.

    languages are those the model reads, as ISO 639-1 codes, none for all. A text whose language is
    undetermined passes, as short ones often are. In an alphabet fewer than two words say too little
    to judge.
    """
    primary = lang.partition("-")[0].lower()
    if languages and primary not in ("", UNDETERMINED, *languages):
        return f"language {primary}, the model reads {', '.join(languages)}"
    in_ascii = text.isascii()
    # Most texts show at once that they hold words; no link, mention or number is letters alone.
    glance = [
        word for word in text.split(None, GLANCE)[:GLANCE] if word.isalpha() and len(word) > 1
    ]
    if len(_without_runs(glance, in_ascii)) >= MIN_WORDS:
        return ""
    words = _without_runs(_WORD.findall(_NOT_WORDS.sub(" ", text)), in_ascii)
    if len(words) < MIN_WORDS and not _one_long_run(words):
        return "fewer than two words" if words else "no words"
    return ""


def abstain(scores: Scores) -> Scores:
    """The same scores, every head abstaining."""
    return {name: msgspec.structs.replace(score, abstained=True) for name, score in scores.items()}


def _without_runs(words: list[str], in_ascii: bool) -> list[str]:
    return [word for word in words if not _is_run(word)] if in_ascii else words


def _is_run(word: str) -> bool:
    return len(word) > LONGEST_WITHOUT_VOWEL and not _VOWEL.search(word) and not word.isupper()


def _one_long_run(words: list[str]) -> bool:
    # Chinese, Japanese and Thai don't part their words.
    return any(not word.isascii() and len(word) >= 2 * MIN_WORDS for word in words)
