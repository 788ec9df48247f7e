"""Makes text from strangers safe and uniform to show, to store and to score."""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from html.entities import html5

from stream.ingest.markup import without_markup

# Terminal commands go whole, so that no "[31m" stays behind; an unfinished title command (OSC)
# loses only its escape character, or one stray byte would swallow the text after it.
_TERMINAL_COMMANDS = r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]"
# What is invisible or turns the reading direction, by which a text can look like another one.
# White space among the control characters is left for the collapse into single spaces. Joiners
# (U+200C, U+200D) are among these: they hide words from rules and models more often than they
# carry meaning, and without them emoji families and Persian compounds stay readable.
_INVISIBLE = (
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
_HARMFUL = re.compile(f"{_TERMINAL_COMMANDS}|{_INVISIBLE}")
# Only entities closed by a semicolon: HTML5 also reads the "&copy" of "?a=1&copy=2" as one, which
# is right in a page and wrong in a text.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def clean_text(text: str, max_chars: int) -> str:
    """Give text in Unicode NFC without HTML, terminal commands and invisible characters.

    Entities are decoded once, so "&amp;lt;" becomes "&lt;"; then tags go, also those that were
    written as entities, as feeds do. Runs of white space become one space and the ends are trimmed;
    at most max_chars characters stay. Cleaning again changes nothing unless an entity is left to
    decode or what was around a tag forms another one.
    """
    if (
        text.isascii()
        and text.isprintable()
        and "&" not in text
        and "<" not in text
        and "  " not in text
    ):
        # Nine of ten texts end here: printable ASCII holds nothing to remove or to compose.
        return text.strip(" ")[:max_chars].rstrip(" ")
    if "&" in text:
        # Removing first keeps an entity from hiding behind an invisible character.
        text = _ENTITY.sub(_decode_entity, _HARMFUL.sub("", text))
    if not text.isprintable():
        text = _HARMFUL.sub("", text)
    if "<" in text:
        text = without_markup(text)
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text[:max_chars].rstrip(" ")


def clean_remark(text: str) -> str:
    """What a person wrote, without terminal commands and invisible characters; its lines stay."""
    text = unicodedata.normalize("NFC", _HARMFUL.sub("", text))
    return "\n".join(" ".join(line.split()) for line in text.splitlines()).strip()


def printable(text: str) -> str:
    r"""Text that can't steer a terminal, forge a log line or turn the reading direction.

    What does that is shown as its escape: "\x1b" of an escape character, "\n" of a line end.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _decode_entity(match: re.Match[str]) -> str:
    entity = match.group()
    return unescape(entity) if entity[1] == "#" else html5.get(entity[1:], entity)
