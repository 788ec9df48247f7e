"""The fastest path that answers alike is taken, and the reason says what was measured."""

from __future__ import annotations

import pytest
import torch

from models import forward_paths as paths
from models.encoder import Encoder, load_encoder
from models.forward_paths import ForwardPath, build, candidates, choose, fastest
from models.spec import HeadScore, ModelError, Scores

PADDED = ForwardPath("fp32", packed=False)
PACKED = ForwardPath("fp32", packed=True)
PADDED_BF16 = ForwardPath("bf16", packed=False)
PACKED_BF16 = ForwardPath("bf16", packed=True)
PACKED_INT8 = ForwardPath("int8", packed=True)
SAMPLES = [[101, 2000 + n, *range(3000, 3000 + n), 102] for n in (3, 9, 4)]


@pytest.fixture
def encoder(tiny_encoder) -> Encoder:
    return load_encoder(str(tiny_encoder))


def answer(label: str, *, abstained: bool = False) -> Scores:
    return {"tone": HeadScore(label, 0.5, {label: 0.5}, abstained)}


def rounded(pooled: torch.Tensor) -> list[Scores]:
    return [answer(str(round(float(row.sum()) * 10))) for row in pooled]


@torch.inference_mode()
def chosen(encoder, tried, answers=rounded):
    return choose(encoder, tried, SAMPLES, answers, padded_budget=64)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({PADDED: 2.0, PACKED: 1.0}, PACKED),
        ({PADDED: 1.0, PACKED: 2.0}, PADDED),
        ({PADDED: 2.0, PACKED: 1.5, PADDED_BF16: 1.2, PACKED_BF16: 1.0}, PACKED_BF16),
        ({PADDED: 2.0, PACKED: 1.1, PADDED_BF16: 1.0, PACKED_BF16: 1.2}, PACKED),
        ({PADDED_BF16: 2.0, PACKED_BF16: 1.9}, PACKED_BF16),
        ({PACKED: 2.0, PACKED_INT8: 1.2}, PACKED_INT8),
        ({PACKED: 2.0, PACKED_INT8: 1.8}, PACKED),
        ({PACKED: 2.0, PACKED_BF16: 1.2, PACKED_INT8: 1.1}, PACKED_BF16),
        ({PACKED: 2.0, PACKED_BF16: 1.9, PACKED_INT8: 1.7}, PACKED_INT8),
    ],
)
def test_fastest_wins_and_one_that_rounds_only_clearly(seconds, expected):
    assert fastest(seconds) == expected


def test_the_winner_of_the_race_is_taken_and_the_times_are_told(encoder, monkeypatch):
    monkeypatch.setattr(paths, "race", lambda runs, _: {path: 1.0 + path.packed for path in runs})
    path, _, reason = chosen(encoder, [PADDED, PACKED])
    assert path == PADDED
    assert reason == "padded fp32 1000 ms, packed fp32 2000 ms for 6 texts"


def test_a_path_that_changes_labels_is_out(encoder, monkeypatch):
    monkeypatch.setattr(paths, "race", lambda runs, _: {path: 2.0 - path.packed for path in runs})
    answers = iter([[answer("good"), answer("bad")], [answer("good"), answer("good")]])
    path, _, reason = chosen(encoder, [PADDED, PACKED], lambda _: next(answers))
    assert path == PADDED
    assert "packed fp32 changes labels" in reason


def test_a_label_that_is_not_answered_may_change(encoder, monkeypatch):
    monkeypatch.setattr(paths, "race", lambda runs, _: {path: 2.0 - path.packed for path in runs})
    answers = iter([[answer("good", abstained=True)], [answer("bad")]])
    path, _, _ = chosen(encoder, [PADDED, PACKED], lambda _: next(answers))
    assert path == PACKED


def test_a_path_that_fails_is_out_and_the_reason_says_so(encoder, monkeypatch):
    def build_or_fail(encoder, path):
        if path.packed:
            raise RuntimeError("no kernel for this device\nstack of it")
        return build(encoder, path)

    monkeypatch.setattr(paths, "build", build_or_fail)
    path, _, reason = chosen(encoder, [PADDED, PACKED])
    assert path == PADDED
    assert reason.endswith("packed fp32 fails here: no kernel for this device")


def test_a_failure_of_the_plain_path_is_not_hidden(encoder, monkeypatch):
    monkeypatch.setattr(encoder, "pool", None)
    with pytest.raises(TypeError):
        chosen(encoder, [PADDED, PACKED])


@pytest.mark.parametrize("able", [[], [PACKED_BF16], [PACKED_INT8], [PACKED_BF16, PACKED_INT8]])
def test_auto_tries_what_the_cpu_has_instructions_for(encoder, monkeypatch, able):
    monkeypatch.setattr(paths, "multiplies_bf16", lambda: PACKED_BF16 in able)
    monkeypatch.setattr(paths, "multiplies_int8", lambda: PACKED_INT8 in able)
    assert candidates(encoder, "auto") == [PACKED, *able]
    assert candidates(encoder, "bf16") == [PACKED_BF16]


def test_int8_where_there_is_no_path_for_it_is_refused(encoder, monkeypatch):
    monkeypatch.setattr(paths, "multiplies_int8", lambda: True)
    assert candidates(encoder, "int8") == [PACKED_INT8]
    monkeypatch.setattr(paths, "multiplies_int8", lambda: False)
    with pytest.raises(ModelError, match=r"model\.precision: int8 needs a CPU"):
        candidates(encoder, "int8")


def test_an_encoder_of_another_kind_keeps_the_padded_path(encoder):
    encoder.config["hidden_act"] = "relu"
    assert candidates(encoder, "fp32") == [PADDED]
