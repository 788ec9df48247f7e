"""Types of the fields in which bodies of the API carry what people write."""

from __future__ import annotations

from typing import Annotated

import msgspec

from stream.alerts.lifecycle import MAX_COMMENT_CHARS
from stream.ingest.text import clean_remark

MAX_NAME_CHARS = 100

Text = Annotated[str, msgspec.Meta(max_length=MAX_COMMENT_CHARS)]
SomeText = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_COMMENT_CHARS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]


def clean_field(body: msgspec.Struct, field: str, *, may_be_blank: bool = False) -> None:
    """Clean the text of a frozen body, for its __post_init__; ValueError for a blank one."""
    cleaned = clean_remark(getattr(body, field))
    if not cleaned and not may_be_blank:
        raise ValueError(f"{field} is blank; write something")
    msgspec.structs.force_setattr(body, field, cleaned)
