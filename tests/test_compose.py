"""The compose file: what can be said of it without Docker."""

from __future__ import annotations

from pathlib import Path

import yaml

FILE = Path(__file__).parents[1] / "docker-compose.yml"


def test_one_service_builds_the_image_that_others_share() -> None:
    """Builds run at the same time, and the second export of a tag fails where it is new."""
    services = yaml.safe_load(FILE.read_text())["services"]
    ours = [one for one in services.values() if one["image"] == "bellwether"]

    assert [one.get("pull_policy") for one in ours if "build" not in one] == ["never"] * 2
    assert len(ours) == 3
