"""The model that the settings choose: its folder, loaded, its heads, and the registry it is in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.spec import Head, ModelError, Predictor
from stream.config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from models.registry import Registry


def load_predictor(settings: Settings, path: Path | None = None) -> Predictor:
    """The model of model_folder."""
    return _load(settings, model_folder(settings, path))


def model_folder(settings: Settings, path: Path | None = None) -> Path:
    """The folder path, else the registry's champion, else model.path, else the shipped model."""
    from models.description import shipped

    if path is None and settings.model.registry:
        champions = RegistryChampions(settings)
        version = champions.version()
        path = champions.registry.folder(version) if version else None
    return path or settings.model.path or shipped()


def how_to_serve(settings: Settings, output: Path, version: str) -> str:
    """What to do with a model that a command wrote, in words."""
    if settings.model.registry:
        return (
            f"To serve it:\nbellwether models add {output}\n"
            f'bellwether models promote {version} --why "…"'
        )
    return f'To serve it, write into bellwether.toml:\n[model]\npath = "{output}"'


def load_heads(settings: Settings) -> tuple[Head, ...]:
    """The heads of the model that load_predictor would load, without loading it."""
    from models.description import CONFIG, read_description, shipped

    if settings.model.registry:
        champions = RegistryChampions(settings)
        if version := champions.version():
            return champions.registry.describe(version).heads
    file = (settings.model.path or shipped()) / CONFIG
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(
            f"setting model.path: {file} can't be read ({error.strerror}); correct the path"
        ) from None
    return read_description(content, str(file)).heads


class RegistryChampions:
    """stream.serving.follower.Champions over the registry of the settings."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError or ModelError."""
        self._settings = settings
        self.registry = open_registry(settings)

    def version(self) -> str | None:
        from models.registry import CHAMPION

        return self.registry.version_of(CHAMPION) or None

    def challenger(self) -> str | None:
        from models.registry import CHALLENGER

        if not self._settings.model.shadow_share:
            return None
        return self.registry.version_of(CHALLENGER) or None

    def stamp(self, version: str) -> str:
        return self.registry.stamp(version)

    def load(self, version: str, beside: Predictor) -> Predictor:
        predictor = _load(self._settings, self.registry.folder(version), beside)
        predictor.warm_up()
        return predictor


def _load(settings: Settings, path: Path, beside: Predictor | None = None) -> Predictor:
    from models.predictor import TorchPredictor, load_predictor

    model = settings.model
    return load_predictor(
        path,
        encoder=model.encoder,
        device=model.device,
        precision=model.precision,
        threads=model.threads,
        beside=beside if isinstance(beside, TorchPredictor) else None,
    )


def open_registry(settings: Settings) -> Registry:
    """The registry of the settings; SettingsError where none is set."""
    from models.registry import Registry

    if settings.model.registry is None:
        raise SettingsError(
            "setting model.registry: is not set; give the folder (or address) where the versions "
            "of the model are to be kept (BELLWETHER_MODEL__REGISTRY)"
        )
    return Registry(settings.model.registry)
