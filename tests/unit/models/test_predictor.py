"""Scores are the same whatever a text rides with, say what they are, and fail in one sentence."""

from __future__ import annotations

import gc
import random
import re
import weakref

import pytest
import torch
from transformers import MPNetModel

from models import forward_paths as paths
from models.checkpoint import write_checkpoint
from models.description import Checkpoint
from models.encoder import load_encoder
from models.forward_paths import ForwardPath
from models.heads import JointHeads
from models.predictor import TorchPredictor, load_predictor
from models.spec import ModelError, OutOfMemoryError, Predictor, Scores
from tests.tiny_model import HEADS, tiny_weights, write_tiny_encoder

TEXTS = [
    "Where is my card?",
    "no",
    "Someone else used my account last night and 300 pounds are gone, please stop this now!",
    "Turbine maker lifts its outlook for the third time this year as orders from Asia pour in.",
    "$QRST is a joke, -12% and the chief executive is on holiday",
    "How much does a second card cost?",
    "Parliament votes on the budget tomorrow; the finance minister expects a narrow majority.",
    """The bank's quarterly profit fell short of what analysts had expected, and it set aside more
    money for loans that may not be paid back, while costs rose faster than income.""",
    "Transfer to my landlord has been pending since Monday.",
    "Brewer and juice maker agree to merge in an all-share deal.",
    "I was charged twice for one coffee",
    "ha, finally a green day",
]


@pytest.fixture
def tiny(tiny_checkpoint) -> TorchPredictor:
    return load_predictor(tiny_checkpoint, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def shipped_bf16() -> TorchPredictor:
    return load_predictor(device="cpu", precision="bf16")


def score(predictor: Predictor, texts: list[str]) -> list[Scores]:
    return predictor.predict(predictor.tokenize(texts))


def largest_shift(predictor: Predictor) -> float:
    """Of any probability, between a text alone and the same text in batches of all sizes."""
    alone = [score(predictor, [text])[0] for text in TEXTS]
    draw = random.Random(3)
    shift = 0.0
    for size in (2, 3, 5, 8, 12):
        chosen = draw.sample(range(len(TEXTS)), size)
        for at, scores in zip(chosen, score(predictor, [TEXTS[i] for i in chosen]), strict=True):
            for name, answer in scores.items():
                for label, probability in answer.scores.items():
                    shift = max(shift, abs(probability - alone[at][name].scores[label]))
    return shift


def test_predictor_is_what_the_batcher_expects(tiny):
    predictor: Predictor = tiny
    assert predictor.heads == HEADS
    assert predictor.version.startswith("tiny-")
    assert predictor.batch_tokens >= 128


def test_scores_are_softmax_of_logits_over_temperature(tiny):
    tokens = tiny.tokenize(TEXTS[:2])
    with torch.inference_mode():
        logits = tiny._joint(tiny._encoder.pool(tokens))["kind"]
    for row, scores in zip(logits, tiny.predict(tokens), strict=True):
        expected = (row / HEADS[1].calibration.temperature).softmax(dim=0).tolist()
        assert list(scores["kind"].scores.values()) == pytest.approx(expected, abs=1e-6)


def test_label_is_the_most_probable_and_doubt_abstains(tiny):
    answers = [scores["kind"] for scores in score(tiny, TEXTS)]
    for answer in answers:
        assert tuple(answer.scores) == HEADS[1].labels
        assert sum(answer.scores.values()) == pytest.approx(1.0, abs=1e-5)
        assert answer.confidence == answer.scores[answer.label] == max(answer.scores.values())
        assert answer.abstained == (answer.confidence < HEADS[1].calibration.abstain_below)
    assert {answer.abstained for answer in answers} == {True, False}


def test_scores_have_the_digits_that_every_path_agrees_on(tiny):
    for scores in score(tiny, TEXTS):
        for answer in scores.values():
            for number in (answer.confidence, *answer.scores.values()):
                assert len(str(number)) <= len("0.123456") or number < 1e-4


def test_head_without_threshold_never_abstains(tiny):
    assert not any(scores["mood"].abstained for scores in score(tiny, TEXTS))


def test_answers_come_in_the_order_given(tiny):
    forwards, backwards = score(tiny, TEXTS), score(tiny, TEXTS[::-1])
    confidences = [row["kind"].confidence for row in forwards]
    assert len(set(confidences)) == len(TEXTS)
    assert [row["kind"].confidence for row in backwards[::-1]] == pytest.approx(
        confidences, abs=2e-6
    )


def test_no_texts_give_no_answers(tiny):
    assert tiny.predict([]) == []


def test_an_answer_that_is_no_number_is_none(tiny):
    """Written to the scored topic it would be null, which nobody can read again."""
    tokens = tiny.tokenize(TEXTS[:2])
    damaged = JointHeads(HEADS, tiny.hidden)
    torch.nn.init.constant_(damaged.linear.bias, float("nan"))
    other = tiny.with_heads(damaged, version="damaged")
    with pytest.raises(ModelError, match="damaged gives answers that are no numbers"):
        other.predict(tokens)
    answers, beside = tiny.predict_beside(tokens, ["", ""], other, [0])
    assert answers == tiny.predict(tokens)
    assert beside is None


def test_fp32_probabilities_do_not_depend_on_the_batch(shipped_fp32):
    assert largest_shift(shipped_fp32) < 1e-4


def test_bf16_probabilities_do_not_depend_on_the_batch(shipped_bf16):
    assert largest_shift(shipped_bf16) < 0.01


def test_bf16_stays_near_fp32(shipped_fp32, shipped_bf16):
    for exact, rounded in zip(score(shipped_fp32, TEXTS), score(shipped_bf16, TEXTS), strict=True):
        for name, answer in exact.items():
            assert rounded[name].scores == pytest.approx(answer.scores, abs=0.02)


def test_warm_up_settles_the_path_and_says_why(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(paths, "multiplies_bf16", lambda: True)
    predictor = load_predictor(tiny_checkpoint, device="cpu")
    assert "not measured" in predictor.description
    predictor.warm_up()
    assert f", {predictor.path} (" in predictor.description
    assert re.search(r"packed fp32 \d+ ms, packed bf16 \d+ ms", predictor.description)
    assert predictor.pads != predictor.path.packed


@pytest.mark.parametrize("path", [None, ForwardPath("bf16", packed=True)])
def test_the_encoder_is_let_go_once_the_path_is_settled(tiny_encoder, path):
    encoder = load_encoder(str(tiny_encoder))
    predictor = TorchPredictor(
        encoder,
        JointHeads(HEADS, encoder.hidden),
        version="tiny",
        device=torch.device("cpu"),
        precision="bf16",
        path=path,
    )
    held = weakref.ref(encoder)
    del encoder
    if path is None:
        predictor.warm_up()
    gc.collect()
    assert held() is None
    assert len(score(predictor, TEXTS)) == len(TEXTS)


def test_scores_stay_the_same_when_warm_up_changes_the_path(tiny_checkpoint, monkeypatch):
    predictor = load_predictor(tiny_checkpoint, device="cpu", precision="fp32")
    before = score(predictor, TEXTS)
    monkeypatch.setattr(paths, "fastest", lambda _: ForwardPath("fp32", packed=True))
    predictor.warm_up()
    assert not predictor.pads
    for old, new in zip(before, score(predictor, TEXTS), strict=True):
        for name, answer in old.items():
            assert new[name].scores == pytest.approx(answer.scores, abs=1e-5)


def test_a_model_beside_a_warm_one_takes_over_its_path(tiny_checkpoint, shipped_fp32, monkeypatch):
    monkeypatch.setattr(paths, "fastest", lambda _: ForwardPath("fp32", packed=True))
    warm = load_predictor(tiny_checkpoint, device="cpu", precision="fp32")
    warm.warm_up()
    other = load_predictor(device="cpu", beside=warm)
    monkeypatch.setattr(paths, "choose", None)
    other.warm_up()
    assert other.path == warm.path
    for old, new in zip(score(shipped_fp32, TEXTS), score(other, TEXTS), strict=True):
        for name, answer in old.items():
            assert new[name].scores == pytest.approx(answer.scores, abs=1e-4)


def test_a_model_beside_one_of_another_kind_finds_a_path_of_its_own(tmp_path, tiny):
    encoder = write_tiny_encoder(tmp_path / "encoder", MPNetModel)
    heads = {name: one for name, one in tiny_weights().items() if name.startswith("heads.")}
    fingerprint = load_encoder(str(encoder)).fingerprint()
    checkpoint = Checkpoint(
        name="tiny",
        encoder=str(encoder),
        encoder_fingerprint=fingerprint,
        max_tokens=32,
        heads=HEADS,
    )
    write_checkpoint(tmp_path / "padding", checkpoint, heads)
    tiny.warm_up()
    padded = load_predictor(tmp_path / "padding", device="cpu", precision="fp32", beside=tiny)
    padded.warm_up()
    assert padded.path == ForwardPath("fp32", packed=False)
    assert len(score(padded, TEXTS)) == len(TEXTS)
    packed = load_predictor(device="cpu", precision="fp32", beside=padded)
    packed.warm_up()
    assert packed.path == ForwardPath("fp32", packed=True)


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_full_memory_is_told_from_other_failures(tiny, monkeypatch, failure):
    def fail(_: object) -> None:
        raise failure

    monkeypatch.setattr(tiny, "_pool", fail)
    with pytest.raises(OutOfMemoryError, match=r"2 texts \(\d+ tokens\) does not fit"):
        score(tiny, TEXTS[:2])


def test_cached_memory_is_freed_once_the_pass_that_did_not_fit_is_gone(tiny, monkeypatch):
    alive, freed = [], []

    def fail(_: object) -> None:
        computed = torch.zeros(1)
        alive.append(weakref.ref(computed))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(alive[-1]() is None))
    with monkeypatch.context() as full:
        full.setattr(tiny, "_pool", fail)
        with pytest.raises(OutOfMemoryError):
            score(tiny, TEXTS[:2])
    assert freed == []
    for _ in range(2):
        score(tiny, TEXTS[:1])
    assert freed == [True]


def test_real_allocation_failure_on_the_cpu_counts_as_full_memory(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "_pool", lambda _: torch.empty(2**60))
    with pytest.raises(OutOfMemoryError):
        score(tiny, TEXTS[:1])


def test_other_failures_stay_what_they_are(tiny):
    with pytest.raises(IndexError):
        tiny.predict([[10_000_000]])


def test_cuda_that_is_not_there_names_the_setting(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"model\.device: cuda is not available"):
        load_predictor(tiny_checkpoint, device="cuda")


def test_encoder_setting_overrides_where_the_encoder_is_found(tiny_checkpoint, tmp_path):
    with pytest.raises(ModelError, match=r"model\.encoder: the folder .*moved does not exist"):
        load_predictor(tiny_checkpoint, encoder=str(tmp_path / "moved"))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cuda_agrees_with_the_cpu(shipped_fp32, precision):
    cuda = load_predictor(device="cuda", precision=precision)
    for ours, theirs in zip(score(shipped_fp32, TEXTS), score(cuda, TEXTS), strict=True):
        for name, answer in ours.items():
            assert theirs[name].scores == pytest.approx(answer.scores, abs=0.02)
