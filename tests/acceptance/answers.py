"""Holds scored records against the versions of the registry that they name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from models.predictor import load_predictor
from models.registry import Registry

# Batches differ, and with them the order of additions.
TOLERANCE = 1e-4


def assert_answers_are_of_the_version_named(
    registry: Registry, scored: Iterable[dict[str, Any]]
) -> None:
    """Each record has the probabilities that its version gives to its text, loaded anew in fp32."""
    by_version: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in scored:
        by_version[one["model"]].append(one)
    for version, records in by_version.items():
        predictor = load_predictor(registry.folder(version), precision="fp32")
        tokens = predictor.tokenize([one["text"] for one in records])
        kinds = [one["source"] for one in records]
        for one, answers in zip(records, predictor.predict(tokens, kinds), strict=True):
            for head, answer in answers.items():
                expected = pytest.approx(answer.scores, abs=TOLERANCE)
                assert one["heads"][head]["scores"] == expected, (version, one)
