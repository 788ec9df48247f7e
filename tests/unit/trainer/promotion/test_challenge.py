"""The deep challenger: what it learns, what it keeps, where it says it comes from, its refusal."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
import torch

from models.checkpoint import read_checkpoint, write_checkpoint
from models.registry import Registry
from tests.tiny_model import write_tiny_checkpoint
from trainer.data.dataset import Example
from trainer.errors import FitError
from trainer.evaluate import reliability
from trainer.fitting.measure import fast_pooled_vectors
from trainer.promotion import challenge
from trainer.promotion.challenge import Challenger, challenge_deep, challenge_fast
from trainer.promotion.contender import Contender, load_contender
from trainer.promotion.data_split import DataSplit
from trainer.promotion.gate import Limits, judge
from trainer.promotion.publish import publish

LINEAGE = {"labels": 3, "labels_fingerprint": "abc", "read_up_to": {"0": 7}}
# Times of so small a model say nothing.
LIMITS = Limits(max_slowdown=float("inf"))
THINGS = (
    "ferry",
    "radio",
    "engine",
    "lamp",
    "kettle",
    "bridge",
    "garden",
    "letter",
    "piano",
    "coat",
)
WORDS = {"bad": ("broke", "lost", "late", "leaks"), "good": ("shines", "works", "won", "sings")}


def lesson(*, of: str, flipped: bool = False) -> list[Example]:
    other = {"bad": "good", "good": "bad"}
    return [
        Example(f"{of} {thing} {word}", "feedback", {"mood": (other[mood] if flipped else mood,)})
        for thing in THINGS
        for mood, words in WORDS.items()
        for word in words
    ]


def data(train: list[Example], golden: list[Example]) -> DataSplit:
    reminders = [
        Example(f"{what} {thing} {word}", "ours", {})
        for what in ("a card for the", "no loan for a")
        for thing in THINGS
        for word in ("today", "in spring", "at sea", "again")
    ]
    recent = frozenset(("mood", one.text) for one in train)
    return DataSplit(train, recent, golden, [], reminders, {})


LESSONS = data([*lesson(of="the"), *lesson(of="my")], lesson(of="our"))
SEEN = [one.text for one in [*LESSONS.golden, *LESSONS.reminders]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Contender:
    """Its heads are centred on these texts, or each would give all of them one label."""
    folder = tmp_path_factory.mktemp("root")
    write_tiny_checkpoint(folder / "first", tiny_encoder)
    mean = load_contender(folder / "first").vectors(SEEN).mean(dim=0)
    checkpoint, weights = read_checkpoint(folder / "first")
    bias = -(weights["heads.weight"] @ mean)
    write_checkpoint(folder / "root", checkpoint, weights | {"heads.bias": bias})
    return load_contender(folder / "root")


@pytest.fixture(scope="module")
def challenger(root: Contender) -> Challenger:
    return challenge_deep(root, root, LESSONS, lineage=LINEAGE)


@pytest.fixture(scope="module")
def written(challenger: Challenger, tmp_path_factory: pytest.TempPathFactory) -> Contender:
    folder = tmp_path_factory.mktemp("written") / "version"
    write_checkpoint(folder, challenger.checkpoint, challenger.weights)
    return load_contender(folder)


def test_a_better_challenger_is_promoted_and_written_as_it_was_judged(root, challenger, written):
    verdict = judge(challenger.evidence, LIMITS)
    assert verdict.promoted, verdict
    (golden,) = challenger.evidence.slices
    truths = [0 if one.labels["mood"] == ("bad",) else 1 for one in LESSONS.golden]
    answers = written.answers([one.text for one in LESSONS.golden])["mood"]
    assert golden.challenger_right == tuple((answers == torch.tensor(truths)).tolist())
    assert sum(golden.challenger_right) > sum(golden.champion_right)


def test_the_answers_of_the_other_heads_are_kept(root, written):
    before, now = root.answers(SEEN)["kind"], written.answers(SEEN)["kind"]
    assert before.bincount().max() < 0.8 * len(SEEN)
    assert (before == now).float().mean() >= 0.9


def test_golden_labels_judge_and_do_not_teach(root):
    others = data(LESSONS.train, lesson(of="our", flipped=True))
    first, second = (challenge_fast(root, root, one, lineage=LINEAGE) for one in (LESSONS, others))
    assert first.weights.keys() == second.weights.keys()
    for name, weight in first.weights.items():
        assert torch.equal(weight, second.weights[name]), name
    assert first.evidence.slices != second.evidence.slices


def test_a_new_label_of_another_head_makes_no_label_recent(root):
    texts = [one.text for one in LESSONS.train]
    some = dataclasses.replace(
        LESSONS, recent=frozenset([("mood", texts[0]), *(("kind", text) for text in texts)])
    )
    slices = challenge_fast(root, root, some, lineage=LINEAGE).evidence.slices
    judged = {(one.head, one.part): len(one.champion_right) for one in slices}
    assert judged == {("mood", "recent"): 1, ("mood", "golden"): len(LESSONS.golden)}


def test_a_deep_fit_is_shown_no_golden_text(root, monkeypatch):
    shown: set[str] = set()

    def fit(_encoder, _heads, learn, validation, *_, **__):
        shown.update(one.text for one in [*learn, *validation])
        raise FitError("seen enough")

    monkeypatch.setattr(challenge, "fit", fit)
    with pytest.raises(FitError, match="seen enough"):
        challenge_deep(root, root, LESSONS, lineage=LINEAGE)
    assert shown >= {one.text for one in LESSONS.train}
    assert not shown & {one.text for one in LESSONS.golden}


def test_the_encoder_learns_and_the_parent_is_left_as_it_was(root, challenger, written):
    texts = SEEN[:8]
    remembered = root.vectors(texts)
    fresh = root.encoder
    assert torch.equal(fast_pooled_vectors(fresh, fresh.tokenize(texts), bf16=False), remembered)
    assert not torch.allclose(written.vectors(texts), remembered, atol=1e-3)
    assert challenger.weights.keys() >= {
        "low_rank.encoder.layer.0.output.dense.a",
        "low_rank.encoder.layer.1.output.dense.a",
    }


def test_what_was_pruned_outlives_a_deep_fit(root, tmp_path):
    output = "encoder.layer.0.attention.output.dense.weight"
    weight = root.encoder.weights[output].detach().clone()
    weight[:, 16:] = 0
    write_checkpoint(
        tmp_path / "pruned", root.checkpoint, {**root.weights, f"encoder.{output}": weight}
    )
    pruned = load_contender(tmp_path / "pruned")
    deep = challenge_deep(pruned, pruned, LESSONS, lineage=LINEAGE)
    write_checkpoint(tmp_path / "deep", deep.checkpoint, deep.weights)
    after = load_contender(tmp_path / "deep").encoder.weights[output]
    assert not after[:, 16:].any()
    assert not torch.equal(after, pruned.encoder.weights[output])


def test_the_lineage_names_parent_root_and_labels(root, written, tmp_path):
    weights = root.weights | {"heads.bias": root.weights["heads.bias"] + 0.01}
    write_checkpoint(tmp_path / "fast", root.checkpoint, weights)
    champion = load_contender(tmp_path / "fast", sharing=root)
    child = challenge_deep(champion, root, LESSONS, lineage=LINEAGE).checkpoint
    assert champion.checkpoint.version != root.checkpoint.version
    epochs = child.training.pop("epochs")
    assert [epoch["number"] for epoch in epochs] == [1, 2, 3]
    assert child.training == LINEAGE | {
        "parent": champion.checkpoint.version,
        "root": root.checkpoint.version,
        "speed": "deep",
    }
    assert child.heads == root.checkpoint.heads


def test_how_far_its_confidence_is_right_is_kept_with_it(root, challenger, written, tmp_path):
    fast = challenge_fast(root, root, LESSONS, lineage=LINEAGE).checkpoint.metrics["reliability"]
    deep = challenger.checkpoint.metrics["reliability"]
    assert fast.keys() == deep.keys() == {"mood"}
    probabilities = written.joint(written.vectors([one.text for one in LESSONS.golden]))["mood"]
    answers = written.answers([one.text for one in LESSONS.golden])["mood"].tolist()
    right = [
        ("bad", "good")[answer] in one.labels["mood"]
        for answer, one in zip(answers, LESSONS.golden, strict=True)
    ]
    confidences = probabilities.softmax(dim=1).max(dim=1).values.tolist()
    assert deep["mood"] == reliability(confidences, right)
    assert fast["mood"] != deep["mood"]
    assert sum(part["n"] for part in fast["mood"]) == len(LESSONS.golden)
    registry = Registry(str(tmp_path))
    verdict = judge(challenger.evidence, LIMITS)
    alias = publish(registry, challenger, verdict, shadowed=False, after=0)
    assert alias
    assert registry.describe(alias.version).metrics.keys() == {"reliability", "verdict"}


def test_a_challenger_taught_the_contrary_is_refused(written):
    wrong = data([*lesson(of="the", flipped=True), *lesson(of="my", flipped=True)], LESSONS.golden)
    evidence = challenge_deep(written, written, wrong, lineage=LINEAGE).evidence
    # Without the doubts, which alone would refuse such labels: its answers must be enough.
    verdict = judge(msgspec.structs.replace(evidence, doubts=()), LIMITS)
    assert not verdict.promoted
    assert verdict.reasons[0].startswith("worse on mood of any source, golden")


def test_fewer_reminders_than_asked_for_are_all_taken_once(root, monkeypatch):
    trained: list[Example] = []

    def stop(_encoder: object, _heads: object, train: list[Example], *_rest: object, **_: object):
        trained.extend(train)
        raise FitError("far enough")

    monkeypatch.setattr(challenge, "fit", stop)
    few = dataclasses.replace(LESSONS, reminders=LESSONS.reminders[:5])
    with pytest.raises(FitError, match="far enough"):
        challenge_deep(root, root, few, lineage=LINEAGE)
    assert [one for one in trained if not one.labels] == few.reminders


def test_too_few_labels_to_validate_with_are_refused(root):
    few = dataclasses.replace(LESSONS, train=LESSONS.train[:1])
    with pytest.raises(FitError, match="give more labelled texts"):
        challenge_deep(root, root, few, lineage=LINEAGE)
