"""The heads share one matrix, and a text teaches only the heads it has labels for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from models.heads import (
    MISSING,
    JointHeads,
    balanced_weights,
    distillation_loss,
    joint_loss,
)
from models.spec import Head

HEADS = (Head(name="mood", labels=("bad", "good")), Head(name="kind", labels=("a", "b", "c")))


@pytest.fixture
def joint() -> JointHeads:
    torch.manual_seed(0)
    return JointHeads(HEADS, hidden=8)


def test_every_head_reads_its_own_rows_of_one_matrix(joint):
    pooled = torch.randn(4, 8)
    logits = joint(pooled)
    assert {name: tuple(values.shape) for name, values in logits.items()} == {
        "mood": (4, 2),
        "kind": (4, 3),
    }
    rows = F.linear(pooled, joint.linear.weight[2:], joint.linear.bias[2:])
    torch.testing.assert_close(logits["kind"], rows)


def test_loss_is_the_cross_entropy_of_the_labels_present(joint):
    logits = joint(torch.randn(3, 8))
    targets = {"mood": torch.tensor([0, MISSING, 1]), "kind": torch.tensor([MISSING, 2, MISSING])}
    expected = (
        F.cross_entropy(logits["mood"][[0, 2]], torch.tensor([0, 1]), reduction="sum")
        + F.cross_entropy(logits["kind"][1:2], torch.tensor([2]), reduction="sum")
    ) / 3
    torch.testing.assert_close(joint_loss(logits, targets), expected)


def test_missing_label_teaches_its_head_nothing(joint):
    targets = {"mood": torch.tensor([0, 1]), "kind": torch.tensor([MISSING, MISSING])}
    joint_loss(joint(torch.randn(2, 8)), targets).backward()
    assert joint.linear.weight.grad[:2].abs().sum() > 0
    assert joint.linear.weight.grad[2:].abs().sum() == 0


def test_batch_without_any_label_has_loss_zero(joint):
    targets = {name: torch.tensor([MISSING]) for name in ("mood", "kind")}
    assert joint_loss(joint(torch.randn(1, 8)), targets) == 0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_class_weights_leave_the_mean_weight_of_a_text_at_one(power):
    counts = [90, 10, 0]
    weights = balanced_weights(counts, power)
    assert float((weights * torch.tensor(counts)).sum()) == pytest.approx(100)
    assert weights[2] == 0
    assert float(weights[1] / weights[0]) == pytest.approx(9**power)


def test_heads_of_the_same_name_and_labels_start_from_what_others_know(joint):
    torch.manual_seed(1)
    other = JointHeads(
        (
            Head(name="new", labels=("x", "y")),
            HEADS[1],
            Head(name="mood", labels=("bad", "better")),
        ),
        hidden=8,
    )
    before = other.linear.weight.clone()
    assert other.start_from(joint) == ["kind"]
    torch.testing.assert_close(other.linear.weight[2:5], joint.linear.weight[2:])
    torch.testing.assert_close(other.linear.bias[2:5], joint.linear.bias[2:])
    assert torch.equal(other.linear.weight[[0, 1, 5, 6]], before[[0, 1, 5, 6]])


def test_distillation_is_zero_for_the_same_answers_and_counts_the_texts_that_count():
    before = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    assert float(distillation_loss(before, before, torch.ones(3))) == pytest.approx(0, abs=1e-6)
    other = before.flip(1)
    some = torch.tensor([1.0, 0.0, 1.0])
    expected = F.kl_div(other[[0, 2]].log_softmax(1), before[[0, 2]].softmax(1), reduction="sum")
    assert float(distillation_loss(other, before, some)) == pytest.approx(float(expected) / 3)
