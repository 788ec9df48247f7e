"""A checkpoint folder is whole, is what was written, and fits its encoder, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from models.checkpoint import merge, read_checkpoint, write_checkpoint
from models.description import CONFIG, WEIGHTS, Checkpoint, shipped
from models.encoder import load_encoder
from models.predictor import load_predictor
from models.spec import Calibration, ModelError
from tests.full_disk import full_disk
from tests.tiny_model import HEADS, tiny_weights, write_tiny_checkpoint, write_tiny_encoder

ROOT = Path(__file__).parents[3]
BARE = Checkpoint(
    name="bare", encoder="somewhere", encoder_fingerprint="0", max_tokens=32, heads=HEADS
)


def test_read_gives_back_what_was_written(tmp_path):
    written = write_checkpoint(tmp_path / "new", BARE, tiny_weights())
    read, weights = read_checkpoint(tmp_path / "new")
    assert read == written
    assert read.heads == HEADS
    assert weights.keys() == tiny_weights().keys()
    assert all(torch.equal(weights[name], value) for name, value in tiny_weights().items())


def test_version_names_exactly_the_content(tmp_path):
    first = write_checkpoint(tmp_path / "1", BARE, tiny_weights())
    again = write_checkpoint(tmp_path / "2", BARE, tiny_weights())
    other_weights = write_checkpoint(tmp_path / "3", BARE, tiny_weights(seed=9))
    cooler = (msgspec.structs.replace(HEADS[0], calibration=Calibration(1.5)), HEADS[1])
    other_heads = write_checkpoint(
        tmp_path / "4", msgspec.structs.replace(BARE, heads=cooler), tiny_weights()
    )
    assert first.version == again.version
    assert first.version.startswith("bare-")
    assert len({first.version, other_weights.version, other_heads.version}) == 3


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_missing_file_is_named(tiny_checkpoint, name):
    (tiny_checkpoint / name).unlink()
    with pytest.raises(ModelError, match=rf"{name}: can't be read"):
        read_checkpoint(tiny_checkpoint)


def test_half_written_weights_are_named(tiny_checkpoint):
    weights = tiny_checkpoint / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=rf"{WEIGHTS}: is not the file that {CONFIG} describes"):
        read_checkpoint(tiny_checkpoint)


def test_half_written_description_is_named(tiny_checkpoint):
    config = tiny_checkpoint / CONFIG
    config.write_bytes(config.read_bytes()[:-100])
    with pytest.raises(ModelError, match=rf"{CONFIG}: is no checkpoint description"):
        read_checkpoint(tiny_checkpoint)


def test_edited_description_is_refused(tiny_checkpoint):
    config = tiny_checkpoint / CONFIG
    config.write_text(config.read_text().replace('"abstain_below": 0.9', '"abstain_below": 0.0'))
    with pytest.raises(ModelError, match=rf"{CONFIG}: was changed after it was written"):
        read_checkpoint(tiny_checkpoint)


def test_other_format_says_what_to_do(tmp_path):
    write_checkpoint(tmp_path / "new", msgspec.structs.replace(BARE, format=99), tiny_weights())
    with pytest.raises(ModelError, match="has format 99, this program reads format 2"):
        read_checkpoint(tmp_path / "new")


def test_format_is_looked_at_before_the_fields_which_may_be_others(tmp_path):
    write_checkpoint(tmp_path / "old", msgspec.structs.replace(BARE, format=1), tiny_weights())
    file = tmp_path / "old" / "checkpoint.json"
    file.write_bytes(file.read_bytes().replace(b'"encoder"', b'"backbone"'))
    with pytest.raises(ModelError, match="has format 1, this program reads format 2"):
        read_checkpoint(tmp_path / "old")


def test_missing_folder_names_the_setting(tmp_path):
    with pytest.raises(ModelError, match=r"model folder .*gone does not exist; .* model\.path"):
        read_checkpoint(tmp_path / "gone")


def test_folder_with_something_in_it_is_never_overwritten(tmp_path):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(ModelError, match="already exists"):
        write_checkpoint(tmp_path, BARE, tiny_weights())
    assert [file.name for file in tmp_path.iterdir()] == ["note"]


def test_failed_write_leaves_nothing_behind_and_names_the_folder(tmp_path):
    with (
        full_disk(200),
        pytest.raises(ModelError, match=r"/new: can't be written \(.*free space"),
    ):
        write_checkpoint(tmp_path / "new", BARE, tiny_weights())
    assert list(tmp_path.iterdir()) == []
    write_checkpoint(tmp_path / "new", BARE, tiny_weights())


def test_low_rank_factors_are_added_to_their_layer(tiny_checkpoint, tiny_encoder):
    checkpoint, weights = read_checkpoint(tiny_checkpoint)
    plain, merged = load_encoder(str(tiny_encoder)), load_encoder(str(tiny_encoder))
    heads = merge(checkpoint, weights, merged)
    name = "encoder.layer.0.output.dense"
    factors = (weights[f"low_rank.{name}.{part}"].float() for part in "ba")
    before, after = (
        dict(encoder.model.named_parameters())[f"{name}.weight"] for encoder in (plain, merged)
    )
    torch.testing.assert_close(after - before, torch.linalg.multi_dot(list(factors)))
    torch.testing.assert_close(heads.linear.bias.detach(), weights["heads.bias"])


def test_replaced_parameter_takes_the_stored_value(tmp_path, tiny_encoder):
    name = "encoder.layer.1.output.dense.bias"
    weights = {**tiny_weights(), f"encoder.{name}": torch.full((32,), 3.0)}
    encoder = load_encoder(str(tiny_encoder))
    fitting = msgspec.structs.replace(BARE, encoder_fingerprint=encoder.fingerprint())
    merge(fitting, weights, encoder)
    assert dict(encoder.model.named_parameters())[name].tolist() == [3.0] * 32


def test_another_encoder_is_refused(tiny_checkpoint, tmp_path):
    checkpoint, weights = read_checkpoint(tiny_checkpoint)
    other = load_encoder(str(write_tiny_encoder(tmp_path / "other", seed=5)))
    with pytest.raises(ModelError, match=r"model\.encoder: .* is not the encoder that checkpoint"):
        merge(checkpoint, weights, other)


def test_weights_of_other_heads_are_refused(tmp_path, tiny_encoder):
    written = write_tiny_checkpoint(tmp_path / "new", tiny_encoder)
    fewer = msgspec.structs.replace(written, heads=HEADS[:1])
    with pytest.raises(ModelError, match="fits neither its encoder nor its heads"):
        merge(fewer, tiny_weights(), load_encoder(str(tiny_encoder)))


def test_shipped_folder_is_whole_and_small():
    checkpoint, _ = read_checkpoint(shipped())
    assert [head.name for head in checkpoint.heads] == ["sentiment", "topic", "risk"]
    size = sum(file.stat().st_size for file in Path(shipped()).iterdir())
    assert size < 12_000_000


def test_a_version_is_read_without_our_code_as_the_documentation_says(
    tiny_checkpoint: Path, tiny_encoder: Path
) -> None:
    text = "The bank lost my card again"
    documented = (ROOT / "docs" / "learning.md").read_text(encoding="utf-8")
    code = documented.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    found = names["answers"](tiny_checkpoint, tiny_encoder, text)
    predictor = load_predictor(tiny_checkpoint, device="cpu", precision="fp32")
    (ours,) = predictor.predict(predictor.tokenize([text]))
    assert found.keys() == ours.keys()
    for head, answer in ours.items():
        assert found[head] == pytest.approx(answer.scores, abs=1e-5)
