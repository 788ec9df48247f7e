"""Loads the explainer of a version of the model, for commands and the console."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from models.spec import ModelError
from stream.commands.chosen_model import model_folder, open_registry
from stream.config.settings import Settings

if TYPE_CHECKING:
    from models.explain import Explainer
    from stream.explain.explainer import AlertExplainer
    from stream.explain.explanation import ExplainedAlert
    from stream.records import Alert

KEPT = 2
"""Versions held in memory: an alert seldom outlives more than one change of the model."""


def explainers(settings: Settings) -> Callable[[str], Explainer]:
    """The explainer of a version, loaded when it is first asked for. Raises ModelError."""
    return lru_cache(maxsize=KEPT)(lambda version: load_explainer(settings, version))


def alert_words(settings: Settings) -> Callable[[Alert], ExplainedAlert]:
    """What each word of an alert's events adds to what its rule read, without nearest examples.

    What it gives blocks, first for seconds, since torch and the model are loaded then, and is not
    to be called from two threads at once. It raises ModelError, SettingsError and RuleError.
    """

    @lru_cache(maxsize=1)
    def explainer() -> AlertExplainer:
        from stream.explain.explainer import AlertExplainer

        return AlertExplainer(settings, explainers(settings), lambda *_: [])

    return lambda alert: explainer().explain(alert, [0] * len(alert.evidence), None)


def load_explainer(settings: Settings, version: str | None) -> Explainer:
    """The explainer of that version, of the model that a worker would serve if None.

    Raises ModelError where that version is not to be had.
    """
    from models.explain import load_explainer as load
    from models.predictor import choose_device

    folder = _folder_of(settings, version) if version else model_folder(settings)
    return load(folder, encoder=settings.model.encoder, device=choose_device(settings.model.device))


def _folder_of(settings: Settings, version: str) -> Path:
    from models.description import read_verified, shipped

    if settings.model.registry:
        registry = open_registry(settings)
        if registry.has(version):
            return registry.folder(version)
    own = settings.model.path or shipped()
    here = read_verified(own)[0].version
    if here != version:
        raise ModelError(
            f"model {version}, which scored the event, is not in model.registry, and {own} is "
            f"{here}; set model.path or model.registry to where it is"
        )
    return own
