"""Takes HTML out of a text, as mails and feeds bring it. Pure.

Only what is surely a tag goes: "<email>", "<3" and "a <b and c> d" stay as they were written. No
part of a pattern runs past the next "<" outside of quotes, so the time is linear in the text.
"""

from __future__ import annotations

import re

# What begins or ends a line where a browser shows it.
_BLOCKS = (
    "address|article|aside|blockquote|body|br|caption|center|d[dlt]|div|figcaption|figure|footer|"
    "form|h[1-6r]|head|header|html|iframe|li|main|nav|noscript|ol|p|pre|script|section|style|"
    "t(?:able|body|d|foot|h|head|itle|r)|ul|video"
)
# What stands in a line; "o:p" is Outlook's.
_INLINE = (
    "a|abbr|b|big|cite|code|del|em|font|i|img|ins|link|mark|meta|o:p|picture|q|s|small|source|span|"
    "strike|strong|su[bp]|tt|u|wbr"
)
# A comparison ("x <b and c> d") has no equals sign after its first word.
_ATTRIBUTES = r"""(?:\s+[\w:.-]+\s*=(?:"[^"]*"|'[^']*'|[^<>"'])*)?"""
_TAG = re.compile(
    rf"<(?P<code>script|style){_ATTRIBUTES}\s*>[^<]*</(?P=code)\s*>|"
    r"<!--[^<>]*-->|<!--\[if[^<>]*\]>|<!\[endif\](?:--)?>|<!doctype\b[^<>]*>|"
    rf"<(?:/(?:{_BLOCKS})|(?:{_BLOCKS}){_ATTRIBUTES})\s*/?>|"
    rf"(?P<inline><(?:/(?:{_INLINE})|(?:{_INLINE}){_ATTRIBUTES})\s*/?>)",
    re.IGNORECASE,
)


def without_markup(text: str) -> str:
    """Without HTML's tags, comments, scripts and style sheets; a block's tag becomes a space."""
    return _TAG.sub(lambda tag: "" if tag["inline"] else " ", text)
