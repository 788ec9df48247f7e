"""Weights of words add up to the answer, edits change it, and neighbours are the nearest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing

from models.encoder import load_encoder
from models.explain import ERROR_WANTED, MOST_POINTS, Explainer, load_explainer
from models.explanation import Example
from models.heads import JointHeads
from models.nearest import CANDIDATES, ExampleIndex
from models.predictor import load_predictor
from models.spec import ModelError
from tests.tiny_model import HEADS, write_tiny_encoder

TEXT = "My card was stolen and https://t.co/abc someone took 430 pounds, please help!"


@pytest.fixture(scope="session")
def explainer() -> Explainer:
    return load_explainer()


@pytest.fixture
def tiny(tiny_checkpoint: Path) -> Explainer:
    return load_explainer(tiny_checkpoint)


@pytest.mark.parametrize("head", ["mood", "kind"])
@pytest.mark.parametrize("kind", ["", "ticket"])
def test_weights_sum_to_the_log_odds_within_the_stated_error(
    tiny: Explainer, head: str, kind: str
) -> None:
    found = tiny.attribute(TEXT, head, kind=kind)
    total = sum(word.weight for word in found.words)
    explained = found.log_odds - found.baseline
    assert abs(total - explained) <= found.error + 1e-3
    assert found.error <= ERROR_WANTED * abs(explained) or found.points == MOST_POINTS
    odds = torch.tensor(found.log_odds)
    assert found.confidence == pytest.approx(odds.sigmoid().item(), abs=1e-6)


def test_the_shipped_model_is_explained_within_a_small_error(explainer: Explainer) -> None:
    found = explainer.attribute(TEXT, "risk", kind="ticket")
    assert found.label == "high"
    assert found.error <= ERROR_WANTED * abs(found.log_odds - found.baseline)
    strongest = max(found.words, key=lambda word: word.weight)
    assert strongest.text == "stolen"


def test_the_answers_are_those_of_the_stream(explainer: Explainer) -> None:
    predictor = load_predictor(device="cpu", precision="fp32")
    (theirs,) = predictor.predict(predictor.tokenize([TEXT]), ["ticket"])
    ours = explainer.scores(TEXT, "ticket")
    for head, score in theirs.items():
        assert ours[head].label == score.label
        assert ours[head].scores == pytest.approx(score.scores, abs=1e-5)


def test_any_label_can_be_asked_for(tiny: Explainer) -> None:
    good, bad = (tiny.attribute(TEXT, "mood", label) for label in ("good", "bad"))
    assert good.log_odds == pytest.approx(-bad.log_odds, abs=1e-4)
    for one, other in zip(good.words, bad.words, strict=True):
        assert one.weight == pytest.approx(-other.weight, abs=1e-3)


def test_words_are_those_of_the_text_and_what_is_cut_off_has_no_weight(tiny: Explainer) -> None:
    found = tiny.attribute(TEXT, "mood")
    assert [word.text for word in found.words] == TEXT.replace("https://t.co/abc", "http").split()
    assert all(word.read for word in found.words)
    long = tiny.attribute("first " * 20 + "last " * 60, "mood")
    unread = [word for word in long.words if not word.read]
    assert len(long.words) == 80
    assert len(unread) == 50
    assert {word.weight for word in unread} == {0.0}


def test_the_space_in_front_of_a_word_counts_for_the_word(tmp_path: Path) -> None:
    """ModernBERT's tokenizer has it in the word's first token, others as a token of its own."""
    write_tiny_encoder(tmp_path, seed=3)
    byte_level().save(str(tmp_path / "tokenizer.json"))
    encoder = load_encoder(str(tmp_path))
    heads = JointHeads(HEADS, encoder.hidden)
    found = Explainer(encoder, heads, version="x", device=torch.device("cpu")).attribute(
        "the card is  gone", "mood"
    )
    total = sum(word.weight for word in found.words)
    assert abs(total - (found.log_odds - found.baseline)) <= found.error + 1e-3
    assert all(word.weight for word in found.words)


def byte_level() -> Tokenizer:
    """A token a byte, but for a few that begin with a space; ids 0 to 4 stay special."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *letters, "Ġc", "Ġg"])}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[("Ġ", "c"), ("Ġ", "g")]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def test_what_the_model_does_not_have_is_named(tiny: Explainer) -> None:
    with pytest.raises(ModelError, match=r"head 'sentiment': .* it has mood, kind"):
        tiny.attribute(TEXT, "sentiment")
    with pytest.raises(ModelError, match="label 'angry': head mood has bad, good"):
        tiny.attribute(TEXT, "mood", "angry")


def test_an_edit_changes_the_label_and_needs_each_of_its_words(explainer: Explainer) -> None:
    attribution = explainer.attribute(TEXT, "risk", kind="ticket")
    edit = explainer.smallest_edit(TEXT, attribution, "ticket")
    assert edit
    assert edit.label != "high"
    assert edit.removed
    assert explainer.scores(edit.text, "ticket")["risk"].label == edit.label
    words = [word.text for word in attribution.words]
    assert sorted([*edit.text.split(), *edit.removed]) == sorted(words)
    kept = [word for word in words if word not in edit.removed]
    for word in edit.removed:
        restored = " ".join(one for one in words if one in kept or one == word)
        if len(edit.removed) > 1:
            assert explainer.scores(restored, "ticket")["risk"].label == "high", word


def test_a_text_of_one_word_has_no_edit(tiny: Explainer) -> None:
    assert tiny.smallest_edit("card", tiny.attribute("card", "mood")) is None


@given(text=st.text(max_size=60))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_can_be_explained(tiny: Explainer, text: str) -> None:
    found = tiny.attribute(text, "mood")
    total = sum(word.weight for word in found.words)
    assert abs(total - (found.log_odds - found.baseline)) <= found.error + 1e-3
    tiny.smallest_edit(text, found)


def test_neighbours_are_the_nearest_of_those_that_share_words() -> None:
    angles = {"card lost": 0.0, "card stolen": 0.4, "card found": 2.0, "loan card": 0.1}

    def embed(texts: list[str]) -> torch.Tensor:
        turns = torch.tensor([angles.get(text, 3.0) for text in texts])
        return torch.stack([turns.cos(), turns.sin()], dim=1)

    others = [Example(f"loan {number}", "loan", "x") for number in range(2 * CANDIDATES)]
    examples = [*others, *(Example(text, "card", "x") for text in list(angles)[1:])]
    index = ExampleIndex(examples, embed)  # type: ignore[arg-type]
    found = index.nearest("card lost", 2)
    assert [(one.text, one.label) for one in found] == [
        ("loan card", "card"),
        ("card stolen", "card"),
    ]
    assert found[0].similarity == pytest.approx(torch.tensor(0.1).cos().item(), abs=1e-6)
    assert index.nearest("card lost", 0) == []
    assert ExampleIndex([], embed).nearest("card lost", 3) == []  # type: ignore[arg-type]
