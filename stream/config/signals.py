"""How long the windows of subjects remember."""

from __future__ import annotations

from pydantic import Field, model_validator

from stream.config.connections import Section


class Signals(Section):
    """The windows of each subject, in event time."""

    short_half_life_s: float = Field(3_600.0, ge=1.0, description="what happens now")
    long_half_life_s: float = Field(7 * 86_400.0, ge=2.0, description="what is usual")
    max_late_s: float = Field(
        86_400.0, ge=0.0, description="an event later than this is in no window"
    )
    min_baseline: float = Field(
        10.0, ge=1.0, description="events a baseline must weigh before anything deviates from it"
    )

    @model_validator(mode="after")
    def _long_is_longer(self) -> Signals:
        if self.long_half_life_s < 2 * self.short_half_life_s:
            raise ValueError(
                "long_half_life_s must be at least twice short_half_life_s, "
                "or now and usual can't be told apart"
            )
        return self
