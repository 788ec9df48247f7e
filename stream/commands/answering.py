"""How much a head answers, and how much of that is wrong, as rows to print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream.terminal import show

COLUMNS = ("source", "texts", "accuracy", "answered", "wrong among answered")


def shares(figures: Mapping[str, Any]) -> dict[str, str]:
    """A row of each, of figures by trainer.evaluate.evaluate_examples()."""
    wrong = figures["wrong_among_answered"]
    return {
        "answered": f"{figures['answered']:.3f}",
        "wrong among answered": "" if wrong is None else f"{wrong:.3f}",
    }


def show_sources(figures: Mapping[str, Any]) -> None:
    """A table of the sources that the texts name, if they do."""
    rows = [
        {"source": kind, "texts": own["n"], "accuracy": f"{own['accuracy']:.3f}", **shares(own)}
        for kind, own in figures["by_source"].items()
    ]
    if rows:
        show.table("sources", rows, columns=COLUMNS)
