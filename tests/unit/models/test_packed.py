"""Vectors without padding are those with padding, whatever rides in the batch."""

from __future__ import annotations

import gc
import random
import weakref
from functools import cache

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import RobertaModel

from models.encoder import Encoder, load_encoder
from models.encoder_files import WORD_EMBEDDINGS, is_plain
from models.forward_paths import ForwardPath, build
from models.packed import PackedEncoder, Step, _onednn_linear, spare_rows
from models.packed_int8 import Int8Encoder
from tests.tiny_model import write_tiny_encoder

WORDS = st.integers(1_000, 30_000)
BATCHES = st.lists(st.lists(WORDS, min_size=1, max_size=120), min_size=1, max_size=12)


@cache
def default() -> Encoder:
    return load_encoder()


def packed_of(encoder: Encoder, precision) -> PackedEncoder:
    return Int8Encoder(encoder) if precision == "int8" else PackedEncoder(encoder, precision)


@cache
def packed(precision) -> PackedEncoder:
    return packed_of(default(), precision)


@torch.inference_mode()
def padded_vectors(encoder: Encoder, tokens) -> torch.Tensor:
    return torch.cat([encoder.pool([row]) for row in tokens])


@torch.inference_mode()
def packed_vectors(encoder: PackedEncoder, tokens) -> torch.Tensor:
    return encoder.pool(tokens)


@settings(max_examples=15)
@given(BATCHES)
def test_fp32_vectors_equal_those_of_each_text_alone(tokens):
    found = packed_vectors(packed("fp32"), tokens)
    torch.testing.assert_close(found, padded_vectors(default(), tokens), atol=1e-5, rtol=1e-5)


@settings(max_examples=5)
@given(BATCHES)
def test_bf16_vectors_stay_near_fp32(tokens):
    found = packed_vectors(packed("bf16"), tokens)
    assert found.dtype == torch.float32
    expected = padded_vectors(default(), tokens)
    assert torch.cosine_similarity(found, expected).min() > 0.999


@pytest.mark.parametrize("seed", range(4))
def test_int8_vectors_stay_near_fp32(seed):
    # Not just any tokens: a few words alone, or none to begin with, are far beyond what texts are.
    chance = random.Random(seed)
    tokens = [
        [101, *(chance.randint(1_000, 30_000) for _ in range(chance.randint(5, 118))), 102]
        for _ in range(12)
    ]
    found = packed_vectors(packed("int8"), tokens)
    expected = padded_vectors(default(), tokens)
    assert torch.cosine_similarity(found, expected).min() > 0.99


def test_int8_on_a_cpu_without_bf16_has_attention_in_fp32(monkeypatch):
    monkeypatch.setattr("models.packed_int8.multiplies_bf16", lambda: False)
    tokens = [[101, *range(3000, 3000 + n), 102] for n in (4, 40, 11, 12)]
    encoder = Int8Encoder(default())
    found = packed_vectors(encoder, tokens)
    assert torch.cosine_similarity(found, padded_vectors(default(), tokens)).min() > 0.99
    # Bytes are added up exactly and float32 leaves nothing to be rounded the other way.
    alone = torch.cat([packed_vectors(encoder, [row]) for row in tokens])
    assert torch.cosine_similarity(found, alone).min() > 0.9999


def test_vectors_come_in_the_order_given():
    tokens = [[101, 2000, 102], [101, *range(3000, 3060), 102], [101, 102]]
    forwards = packed_vectors(packed("fp32"), tokens)
    backwards = packed_vectors(packed("fp32"), tokens[::-1])
    torch.testing.assert_close(forwards, backwards.flip(0), atol=1e-5, rtol=1e-5)


def test_bf16_matches_the_padded_bf16_path():
    tokens = [[101, *range(3000, 3000 + n), 102] for n in (4, 40, 11, 12)]
    with torch.inference_mode():
        expected = build(default(), ForwardPath("bf16", packed=False))(tokens)
    found = packed_vectors(packed("bf16"), tokens)
    assert torch.cosine_similarity(found, expected).min() > 0.999


@pytest.mark.parametrize("heads", [(0,), (3, 7, 11), tuple(range(12))])
def test_heads_that_add_nothing_are_left_out_and_vectors_stay(heads):
    encoder = load_encoder()
    for layer in (1, 4):
        output = encoder.weights[f"encoder.layer.{layer}.attention.output.dense.weight"]
        for head in heads:
            output[:, head * 32 : (head + 1) * 32] = 0
    tokens = [[101, *range(3000, 3000 + n), 102] for n in (4, 40, 11, 12)]
    torch.testing.assert_close(
        packed_vectors(PackedEncoder(encoder, "fp32"), tokens),
        padded_vectors(encoder, tokens),
        atol=1e-5,
        rtol=1e-5,
    )
    found = packed_vectors(Int8Encoder(encoder), tokens)
    assert torch.cosine_similarity(found, padded_vectors(encoder, tokens)).min() > 0.99


def test_positions_of_robertas_kind_begin_behind_the_padding_id(tmp_path):
    write_tiny_encoder(tmp_path, RobertaModel, max_position_embeddings=66)
    encoder = load_encoder(str(tmp_path))
    assert is_plain(encoder.config)
    tokens = [[5, 6, 7, 8], [9, 10]]
    torch.testing.assert_close(
        packed_vectors(PackedEncoder(encoder, "fp32"), tokens),
        padded_vectors(encoder, tokens),
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [("hidden_act", "relu"), ("model_type", "deberta-v2"), ("is_decoder", True)],
)
def test_other_kinds_of_layers_are_not_packed(tiny_encoder, setting, value):
    config = load_encoder(str(tiny_encoder)).config
    assert is_plain(config)
    assert not is_plain({**config, setting: value})


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_path_that_rounds_keeps_nothing_of_the_encoder_but_its_words(tiny_encoder, precision):
    encoder = load_encoder(str(tiny_encoder))
    held = {name: weakref.ref(tensor.untyped_storage()) for name, tensor in encoder.weights.items()}
    packed = packed_of(encoder, precision)
    del encoder
    gc.collect()
    assert {name for name, storage in held.items() if storage()} == {WORD_EMBEDDINGS}
    assert packed_vectors(packed, [[5, 6, 7]]).shape == (1, 32)


def test_a_weight_laid_out_for_onednn_is_held_once():
    weight, bias, x = torch.randn(32, 16), torch.randn(32), torch.randn(4, 16)
    expected = F.gelu(F.linear(x, weight, bias))
    given = weakref.ref(weight.untyped_storage())
    linear = _onednn_linear(weight, bias, gelu=True)
    del weight
    assert given() is None
    torch.testing.assert_close(linear(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cuda_vectors_stay_near_the_cpu(precision):
    tokens = [[101, *range(3000, 3000 + n), 102] for n in (4, 40, 11, 12)]
    found = packed_vectors(PackedEncoder(load_encoder().to("cuda"), precision), tokens).cpu()
    assert torch.cosine_similarity(found, padded_vectors(default(), tokens)).min() > 0.999


@given(st.integers(1, 20_000))
def test_batches_come_in_few_sizes_and_little_is_added(rows):
    spare = spare_rows(rows)
    assert 0 <= spare <= min(63, max(15, rows / 16))
    assert (rows + spare) % 16 == 0


def test_a_saturated_worker_has_two_or_three_sizes_of_batches():
    assert len({rows + spare_rows(rows) for rows in range(950, 1_025)}) == 3


@pytest.fixture
def by_onednn(monkeypatch):
    """As on a CPU that multiplies bf16; torch's own products, since oneDNN refuses on others."""

    def linear(weight: torch.Tensor, bias: torch.Tensor, *, gelu: bool) -> Step:
        def run(x: torch.Tensor) -> torch.Tensor:
            sizes.add(len(x))
            found = F.linear(x.to(weight.dtype), weight, bias)
            return F.gelu(found) if gelu else found

        return run

    sizes: set[int] = set()
    monkeypatch.setattr("models.packed.multiplies_bf16", lambda: True)
    monkeypatch.setattr("models.packed._onednn_linear", linear)
    return sizes


def test_rows_that_are_added_leave_no_trace(by_onednn):
    encoder = PackedEncoder(default(), "bf16")
    tokens = [[101, *range(3000, 3000 + n), 102] for n in (4, 40, 11, 12)]
    found = packed_vectors(encoder, tokens)
    assert found.shape == (4, 384)
    assert by_onednn == {80}
    expected = padded_vectors(default(), tokens)
    assert torch.cosine_similarity(found, expected).min() > 0.999


def test_rows_that_are_added_find_a_place_in_a_short_encoder(tiny_encoder, by_onednn):
    encoder = load_encoder(str(tiny_encoder))
    tokens = [[5], *([5, 6] * 16 for _ in range(64))]
    found = packed_vectors(PackedEncoder(encoder, "bf16"), tokens)
    assert by_onednn == {1 + 64 * 32 + 63}
    assert torch.cosine_similarity(found, padded_vectors(encoder, tokens)).min() > 0.99
