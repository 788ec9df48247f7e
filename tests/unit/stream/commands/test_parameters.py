"""Values that several commands take."""

from __future__ import annotations

import click
import pytest

from stream.commands.parameters import Number


@pytest.mark.parametrize("given", ["nan", "inf", "-inf", "-1", "many"])
def test_a_number_is_one_between_its_bounds(given: str) -> None:
    with pytest.raises(click.BadParameter, match=given):
        Number(min=0).convert(given, None, None)
    assert Number(min=0).convert("0.25", None, None) == 0.25
