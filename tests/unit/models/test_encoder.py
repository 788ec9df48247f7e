"""The encoder gives each text its own vector, whatever rides beside it, from any folder."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import NFKC, Normalizer
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing
from transformers import DistilBertModel

from models.encoder import MAX_TOKENS, Encoder, load_encoder, use_bf16_linears
from models.encoder_files import TOKENIZER, TOKENIZER_CONFIG
from models.spec import ModelError
from tests.tiny_model import write_tiny_encoder

TEXTS = [
    "Short.",
    "The lender said that its second quarter was better than it had feared in spring.",
    "my card is gone and so are 200 euros!!",
]


@pytest.fixture(scope="module")
def default() -> Encoder:
    return load_encoder()


@pytest.fixture
def tiny(tiny_encoder: Path) -> Encoder:
    return load_encoder(str(tiny_encoder))


def vectors(encoder: Encoder, texts: list[str]) -> torch.Tensor:
    with torch.inference_mode():
        return encoder(*encoder.pad(encoder.tokenize(texts)))


def test_default_encoder_needs_no_network(default, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load_encoder().hidden == default.hidden == 384


def test_long_texts_are_cut_with_their_special_tokens(default):
    (tokens,) = default.tokenize(["word " * 1_000])
    (short,) = default.tokenize(["word"])
    assert len(tokens) == MAX_TOKENS
    assert (tokens[0], tokens[-1]) == (short[0], short[-1])


def test_texts_are_cut_at_the_models_own_maximum(tiny):
    assert tiny.max_tokens == 64
    assert len(tiny.tokenize(["word " * 1_000])[0]) == 64


def test_empty_text_still_has_tokens(tiny):
    assert len(tiny.tokenize([""])[0]) == 2


def test_link_counts_as_one_word(default):
    linked, plain = default.tokenize(
        ["look https://example.org/a/b?c=d#e now", "look http now"],
    )
    assert linked == plain


def test_a_special_token_that_somebody_writes_is_a_word_like_any_other(tiny):
    for encoder in (tiny, copy.deepcopy(tiny)):
        written, spaced = encoder.tokenize(["gone [SEP] [PAD] now", "gone [ SEP ] [ PAD ] now"])
        assert written == spaced


@pytest.mark.parametrize("normalizer", [None, NFKC()])
def test_a_special_token_in_the_vocabulary_is_read_as_letters_too(
    tiny_encoder: Path, tmp_path: Path, normalizer: Normalizer | None
) -> None:
    """As in XLM-R's vocabulary, where it is the likeliest."""
    folder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    special = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>"}
    letters = [(letter, -8.0) for letter in "\u2581</>abcdefghijklmnopqrstuvwxyz"]
    vocabulary = [*((word, 0.0) for word in special.values()), *letters]
    tokenizer = Tokenizer(Unigram(vocabulary, unk_id=3))
    tokenizer.pre_tokenizer = Metaspace()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.add_special_tokens([*special.values()])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / TOKENIZER))
    named = {f"{name}_token": word for name, word in special.items()}
    (folder / TOKENIZER_CONFIG).write_text(json.dumps(named))

    encoder = load_encoder(str(folder))
    text = "gone <pad>, a<mask>b </s><s>"
    for one in (encoder, copy.deepcopy(encoder)):
        (ids,) = one.tokenize([text])
        assert (ids[0], ids[-1]) == (0, 2)
        assert set(ids[1:-1]) & {0, 1, 2, 4} == set()
        read, spans = one.spans(text)
        assert {at for begin, end in spans for at in range(begin, end)} == {*range(len(read))}
        assert max(end - begin for begin, end in spans) == 1


def test_an_encoder_with_a_name_of_its_own_for_its_width_is_loaded(tmp_path):
    write_tiny_encoder(tmp_path, DistilBertModel)
    encoder = load_encoder(str(tmp_path))
    assert (encoder.hidden, encoder.max_tokens) == (32, 64)
    assert encoder.pool(encoder.tokenize(TEXTS)).shape == (len(TEXTS), 32)


def test_padding_fills_the_longest_and_the_mask_tells_it(tiny):
    ids, mask = tiny.pad([[5, 6, 7], [8]])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_vector_is_the_mean_over_the_texts_own_tokens(tiny):
    ids, mask = tiny.pad(tiny.tokenize(TEXTS[:1]))
    with torch.inference_mode():
        states = tiny.model(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(vectors(tiny, TEXTS[:1])[0], states[0].mean(dim=0))


def test_vector_does_not_depend_on_its_batch(default):
    together = vectors(default, TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        torch.testing.assert_close(vectors(default, [text])[0], vector, atol=1e-5, rtol=0)


def test_bf16_linears_stay_near_float32_and_return_it(tiny_encoder):
    exact, rounded = load_encoder(str(tiny_encoder)), load_encoder(str(tiny_encoder))
    use_bf16_linears(rounded.model)
    expected, found = vectors(exact, TEXTS), vectors(rounded, TEXTS)
    assert found.dtype == torch.float32
    assert not torch.equal(expected, found)
    torch.testing.assert_close(expected, found, atol=0.05, rtol=0)


def test_fingerprint_is_stable_and_notices_other_weights(tiny_encoder):
    first, second = load_encoder(str(tiny_encoder)), load_encoder(str(tiny_encoder))
    assert first.fingerprint() == second.fingerprint()
    with torch.no_grad():
        second.model.encoder.layer[1].output.dense.weight.add_(0.01)
    assert first.fingerprint() != second.fingerprint()


def test_missing_folder_names_the_setting():
    with pytest.raises(ModelError, match=r"model\.encoder: the folder \./no-such-encoder does not"):
        load_encoder("./no-such-encoder")


def test_folder_without_weights_names_the_setting_and_the_folder(tiny_encoder, tmp_path):
    shutil.copy(tiny_encoder / "config.json", tmp_path)
    with pytest.raises(ModelError, match=r"model\.encoder: no encoder can be loaded from") as error:
        load_encoder(str(tmp_path))
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_code_that_an_encoder_comes_with_is_refused_and_nobody_is_asked(
    tiny_encoder, tmp_path, monkeypatch
):
    folder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    (folder / "code.py").write_text("raise SystemExit('it was run')")
    described = {"model_type": "strange", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(described))
    asked = []
    monkeypatch.setattr("builtins.input", lambda *question: asked.append(question) or "y")
    with pytest.raises(ModelError, match=r"model\.encoder: no encoder can be loaded from"):
        load_encoder(str(folder))
    assert not asked
