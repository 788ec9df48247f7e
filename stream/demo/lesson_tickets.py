"""Tickets of a kind that the shipped model was never taught: what the demo teaches it."""

from __future__ import annotations

import itertools

LABEL = "cards"
_BEGINNINGS = (
    "My loyalty points from",
    "Why did the bonus stars of",
    "You promised reward miles for",
    "The welcome points after",
    "Points that I earned with",
    "All my collected stars from",
    "The double miles on",
    "Partner points from",
)
_OCCASIONS = (
    "the spring campaign",
    "my trip to Lisbon",
    "the grocery week",
    "a hotel stay in May",
    "three fuel stops",
    "the birthday offer",
    "my sister's invitation",
    "the online book shop",
    "our summer rentals",
    "last year's flights",
)
_ENDS = ("have expired too early", "never arrived", "were taken back", "are counted wrongly")


def tickets() -> list[str]:
    """80 different ones, mixed so that neighbours differ in every part."""
    parts = [
        f"{beginning} {occasion} {end}."
        for (beginning, occasion), end in zip(
            itertools.product(_BEGINNINGS, _OCCASIONS), itertools.cycle(_ENDS), strict=False
        )
    ]
    return [parts[at * 37 % len(parts)] for at in range(len(parts))]
