"""Read without transformers, an encoder is the one that transformers reads."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    RobertaPreLayerNormModel,
)

from models.encoder import DEFAULT_ENCODER, load_encoder
from models.encoder_files import (
    CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    WORD_EMBEDDINGS,
    read_plain,
)
from models.spec import ModelError
from tests.tiny_model import write_tiny_encoder

TEXTS = ["Où est ma carte?", "$ABCD -12% 😀 [MASK]", "", "naïve ﬁve\tspaces  İstanbul", "x" * 300]
SERVE = """
import sys
from pathlib import Path
from models.predictor import load_predictor
predictor = load_predictor(Path(sys.argv[1]), device="cpu")
predictor.warm_up()
predictor.predict(predictor.tokenize(["Where is my card?"]))
print(sorted({"transformers", "torch._dynamo", "triton"} & set(sys.modules)))
"""


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


def test_serving_loads_no_transformers(tiny_checkpoint):
    run = subprocess.run(
        [sys.executable, "-c", SERVE, str(tiny_checkpoint)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "[]\n", run.stderr


def test_tokens_and_vectors_are_those_of_transformers(folder):
    ours = load_encoder(str(folder))
    theirs = AutoTokenizer.from_pretrained(folder)
    tokens = ours.tokenize(TEXTS)
    limits = {"truncation": True, "max_length": ours.max_tokens, "split_special_tokens": True}
    assert tokens == theirs(TEXTS, **limits)["input_ids"]
    assert ours.special_ids.tolist() == sorted(theirs.all_special_ids)
    assert ours.mask_id == theirs.mask_token_id
    model = AutoModel.from_pretrained(folder).eval()
    ids, mask = ours.pad(tokens)
    with torch.inference_mode():
        expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(ours.states(ids, mask), expected)
    held = model.state_dict()
    assert ours.weights.keys() == held.keys()
    assert all(torch.equal(tensor, held[name]) for name, tensor in ours.weights.items())


def test_the_module_made_later_has_the_weights_as_they_are_then(folder):
    encoder = load_encoder(str(folder))
    name = "encoder.layer.0.output.dense.weight"
    encoder.weights[name].add_(1.0)
    changed = encoder.weights[name].clone()
    with torch.no_grad():
        encoder.model.get_parameter(name).mul_(2.0)
    assert torch.equal(encoder.weights[name], changed * 2.0)


def test_the_module_is_wholly_where_the_weights_are(folder):
    model = load_encoder(str(folder)).to("meta").model
    assert {one.device.type for one in (*model.parameters(), *model.buffers())} == {"meta"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_words_do_not_hold_what_was_changed_of_other_weights(folder):
    files = read_plain(folder)
    assert files
    weights = files.weights
    words = weights[WORD_EMBEDDINGS]
    weights["encoder.layer.0.output.dense.weight"].add_(1.0)
    assert changed_kib(folder / WEIGHTS) > 0
    del files, weights
    gc.collect()
    assert changed_kib(folder / WEIGHTS) == 0
    assert words.shape == (30_522, 32)


def changed_kib(file: Path) -> int:
    """Of what this process has mapped of the file, how much is a copy of its own."""
    changed, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, value, *_ = line.split()
        if name == "Anonymous:":
            changed += ours * int(value)
        elif not name.endswith(":"):
            ours = line.endswith(str(file))
    return changed


@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS, TOKENIZER])
def test_a_folder_without_one_of_the_files_is_left_to_transformers(folder, missing):
    assert read_plain(folder)
    (folder / missing).unlink()
    assert read_plain(folder) is None


def test_an_encoder_of_another_kind_is_left_to_transformers(folder):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, "hidden_act": "relu"}))
    assert read_plain(folder) is None
    encoder = load_encoder(str(folder))
    assert encoder.config["hidden_act"] == "relu"
    assert encoder.tokenize(["card"]) == load_encoder(DEFAULT_ENCODER).tokenize(["card"])


def test_every_kind_of_roberta_leaves_its_first_positions_empty(tmp_path):
    write_tiny_encoder(
        tmp_path, RobertaPreLayerNormModel, max_position_embeddings=66, pad_token_id=1
    )
    encoder = load_encoder(str(tmp_path))
    assert encoder.max_tokens == 64
    assert encoder.pool(encoder.tokenize(["word " * 1_000])).shape == (1, 32)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, TOKENIZER])
def test_a_damaged_file_is_a_sentence(folder, name):
    (folder / name).write_bytes(b'{"half')
    with pytest.raises(ModelError, match=r"model\.encoder: no encoder can be loaded") as error:
        load_encoder(str(folder))
    assert str(folder) in str(error.value)


def test_a_tokenizer_without_a_length_of_its_own_leaves_it_to_the_encoder(folder):
    file = folder / TOKENIZER_CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": None}))
    assert load_encoder(str(folder)).max_tokens == 64
