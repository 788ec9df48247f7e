"""What a text is compared by, to tell a copy from news: a sketch of its words, and its facts. Pure.

The sketch holds the smallest hashes of the text's word pairs; two sketches estimate the Jaccard
similarity of their texts (Broder 1997, "On the resemblance and containment of documents").
"""

from __future__ import annotations

import re
import struct
from itertools import pairwise, repeat
from zlib import crc32

import msgspec

from stream.records import Scored, model_text

SKETCH_HASHES = 16
"""Word pairs compared: the estimate's standard error is 0.1 at a similarity of 0.8."""
HASH_DIGITS = 8
SLOT_HASHES = 3
"""Two texts are compared when one of so many smallest hashes is the same: at a similarity of 0.7
that misses one pair in 40 or so, at 0.9 one in 1,000."""
MIN_WORDS = 5
"""Fewer words are the same too often by chance: "please call me back"."""
MAX_FACTS = 32

# Retweets and syndicated copies differ in who is named in front and in how links are shortened.
_NOISE = ("http://", "https://", "@", "<")
_RETWEET = b"rt"
# Chinese, Japanese and Korean don't part their words, so each character is one.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")
_DECIMAL = re.compile(r"[0-9]+(?:[.,][0-9]+)+")
# So many different parts are in the fewest two decimals that another one can be made of.
_PARTS_OF_DECIMALS = 3
# Cuts an ASCII text in small letters into words: all else becomes a space.
_ASCII_WORDS = bytes(
    byte if chr(byte) in "abcdefghijklmnopqrstuvwxyz0123456789" else ord(" ") for byte in range(256)
)
# Knuth's multiplicative hash: the order of CRCs of similar words is no chance.
_SPREAD = 2_654_435_761
_MIX = 0x9E3779B1
_MASK = 0xFFFF_FFFF


class Print(msgspec.Struct, frozen=True):
    """What one text is compared by. Hashes are HASH_DIGITS hex digits each, sorted, in one string.

    facts are the tickers and the numbers: a copy adds none to those of the first.
    """

    sketch: str
    facts: str
    slots: tuple[int, ...]


def fingerprint(scored: Scored) -> Print | None:
    """None for a text that is compared with none: too short, or a ticket without a customer.

    News is compared with news, a post with posts, a ticket with tickets of the same customer: a
    post of a headline is no second piece of news, but the piece of news itself is none after it.
    """
    if scored.source == "ticket" and not scored.customer:
        return None
    text = _without_noise(model_text(scored.title, scored.text).lower())
    words = _words(text)
    if len(words) < MIN_WORDS:
        return None
    scope = crc32(
        f"{scored.source} {scored.customer if scored.source == 'ticket' else ''}".encode()
    )
    hashes = map(crc32, words, repeat(scope))
    # Cut to 32 bits before the second product, which changes no bit of it and keeps numbers small.
    pairs = {
        ((first * _MIX ^ second) & _MASK) * _SPREAD & _MASK for first, second in pairwise(hashes)
    }
    smallest = sorted(pairs)[:SKETCH_HASHES]
    # Of bytes, isalpha() knows ASCII letters only.
    facts = {
        crc32(word)
        for word in words
        if not word.isalpha() and (word.isascii() or not word.decode().isalpha())
    }
    if len(facts) >= _PARTS_OF_DECIMALS:
        # Whole, or 4.7 and 6.3 would hold all parts of 4.6.
        facts.update([crc32(number.encode()) for number in _DECIMAL.findall(text)])
    facts |= {crc32(one.id.encode()) for one in scored.subjects if one.kind == "ticker"}
    return Print(
        sketch=_hex(smallest),
        facts=_hex(sorted(facts)[:MAX_FACTS]),
        slots=tuple(smallest[:SLOT_HASHES]),
    )


def marked(scored: Scored, novelty: float, copy_of: str) -> Scored:
    """The record with its novelty in 0..1, also on its subjects, and the id of the first if any."""
    if scored.novelty == novelty and scored.copy_of == copy_of:
        return scored
    return msgspec.structs.replace(
        scored,
        novelty=novelty,
        copy_of=copy_of,
        subjects=tuple(
            msgspec.structs.replace(subject, novelty=novelty) for subject in scored.subjects
        ),
    )


def _without_noise(text: str) -> str:
    if any(noise in text for noise in _NOISE):
        return " ".join([part for part in text.split() if not part.startswith(_NOISE)])
    return text


def _words(text: str) -> list[bytes]:
    """The words of a text in small letters, as UTF-8."""
    if text.isascii():
        words = text.encode().translate(_ASCII_WORDS).split()
    else:
        words = [word.encode() for word in _WORD.findall(text)]
    return [word for word in words if word != _RETWEET] if _RETWEET in words else words


def _hex(hashes: list[int]) -> str:
    return struct.pack(f">{len(hashes)}I", *hashes).hex()
