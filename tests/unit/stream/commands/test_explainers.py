from pathlib import Path

import pytest

from models.description import CONFIG, shipped
from models.registry import Registry
from models.spec import ModelError
from stream.commands.explainers import load_explainer
from stream.config.settings import load_settings


def test_a_version_that_was_changed_is_said_to_be_so_not_to_be_missing(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    version = Registry(str(registry)).add(shipped()).version
    settings = tmp_path / "bellwether.toml"
    settings.write_text(f'[model]\nregistry = "{registry}"\n')
    assert load_explainer(load_settings(settings), version).predictor.version == version

    place = registry / "versions" / version / CONFIG
    place.write_bytes(place.read_bytes().replace(b"base", b"BASE", 1))
    with pytest.raises(ModelError, match="was changed after it was written"):
        load_explainer(load_settings(settings), version)
    with pytest.raises(ModelError, match=r"none-1, .* is not in model\.registry"):
        load_explainer(load_settings(settings), "none-1")
