"""Inputs that are almost right: good examples, changed at random in ways that break parsers."""

from __future__ import annotations

import random
from collections.abc import Sequence

MAX_BYTES = 20_000
MAX_CHANGES = 5
# What parsers trip over, in JSON, TOML and CEL.
PIECES = (
    *(bytes([mark]) for mark in b"{}[]\"',:=\\\n#!"),
    *(b'"""', b"[[", b"\\u", b"null", b"true", b"false", b"NaN", b"{}", b"[]", b'""'),
    *(b"-0", b"1e999", b"-1", b"0.1", b"9" * 25, b"9223372036854775808", b"1" + b"0" * 400),
    *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\\ud800"),
    *("\u202e\u2066".encode(), "𝕏é\u0301".encode(), b"\x1b[2J", b"\r\n", b"0000-00-00T99:99:99Z"),
    *(b"9999-12-31T23:59:59.999999999Z", b"1970-01-01T00:00:00+23:59", b"(" * 200, b"[" * 300),
    *(b"{text}", b"{0.__class__}", b"%s%n", b"||", b"&&", b"?:", b"size("),
)


class Mutator:
    """Draws inputs from seeds; the same seed number draws the same ones."""

    def __init__(self, seeds: Sequence[bytes], number: int) -> None:
        self._seeds = list(seeds)
        self._chance = random.Random(number)

    def draw(self) -> bytes:
        content = bytearray(self._chance.choice(self._seeds))
        for _ in range(self._chance.randint(1, MAX_CHANGES)):
            self._change(content)
        return bytes(content[:MAX_BYTES])

    def _change(self, content: bytearray) -> None:
        chance = self._chance
        at = chance.randint(0, len(content))
        until = min(len(content), at + int(chance.expovariate(1 / 8)) + 1)
        match chance.randrange(7):
            case 0:
                content[at:at] = chance.choice(PIECES)
            case 1:
                content[at:until] = chance.choice(PIECES)
            case 2:
                del content[at:until]
            case 3:
                content[at:at] = content[at:until] * chance.choice((1, 2, 50))
            case 4 if at < len(content):
                content[at] ^= 1 << chance.randrange(8)
            case 5:
                other = chance.choice(self._seeds)
                begin = chance.randint(0, len(other))
                content[at:until] = other[begin : begin + 64]
            case _:
                del content[at:]
