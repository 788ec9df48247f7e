"""Settings of what an event is about, and of whether it is news."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator

from stream.config.connections import Section
from stream.names import EVENT_KINDS, SUBJECT_KINDS

SUBJECT_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Subjects(Section):
    """What events are about, beside what is found without being told."""

    companies: Path | None = Field(None, description="companies beside the shipped ones")
    fields: dict[str, str] = Field(
        default={}, description="kinds of our own to the dotted name of where each stands"
    )

    @field_validator("fields")
    @classmethod
    def _kinds_are_new_names(cls, fields: dict[str, str]) -> dict[str, str]:
        taken = (*SUBJECT_KINDS, *EVENT_KINDS)
        for kind in fields:
            if not SUBJECT_KIND.fullmatch(kind):
                raise ValueError(
                    f"{kind!r} is no kind of subject: small letters, digits and '_', 40 at most"
                )
            if kind in taken:
                raise ValueError(f"{kind!r} is a kind already; choose another name")
        return fields


class Novelty(Section):
    """When an event is a copy of an earlier one, which is counted and not judged again."""

    window_s: float = Field(
        86_400.0, ge=0.0, description="event time between a first event and its copy; 0 never"
    )
    similarity: float = Field(
        0.7, gt=0.0, le=1.0, description="share of common word pairs from which one is a copy"
    )
    remember: int = Field(
        100_000, ge=1_000, description="slots of the table of first events; each takes three"
    )
