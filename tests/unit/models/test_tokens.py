"""Of a long text only its begin is read, and the tokens are those of the whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Metaspace

from models.encoder import Encoder, load_encoder
from models.spec import ModelError
from models.tokens import MANY_CHARS_A_TOKEN, token_ids

LONGEST = 12
WORDS = st.sampled_from(["a", "card", "naïve", "Straße", "İ", "字字字", "🙂", "x" * 40, "", "\n"])
TEXTS = st.lists(WORDS | st.text(max_size=6), max_size=60).map(" ".join)


def letters(pre_tokenizer: Any) -> Tokenizer:
    """A token a letter, but for some that begin with what stands for a space."""
    signs = [*ByteLevel.alphabet(), "\u2581"]
    merges = [(space, letter) for space in ("Ġ", "\u2581") for letter in "acx"]
    vocabulary = {sign: number for number, sign in enumerate(sorted({*signs}))}
    for pair in merges:
        vocabulary["".join(pair)] = len(vocabulary)
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer


@pytest.fixture(scope="module")
def default() -> Encoder:
    return load_encoder()


@pytest.fixture(scope="module")
def tokenizers(default: Encoder) -> list[Tokenizer]:
    found = [
        Tokenizer.from_str(default._tokenizer.to_str()),
        letters(ByteLevel(add_prefix_space=False)),
        letters(Metaspace()),
    ]
    for tokenizer in found:
        tokenizer.enable_truncation(LONGEST)
    return found


@given(st.lists(TEXTS, max_size=4))
def test_the_tokens_are_those_of_the_whole_text(
    tokenizers: list[Tokenizer], texts: list[str]
) -> None:
    for tokenizer in tokenizers:
        whole = [tokenizer.encode(text).ids for text in texts]
        assert token_ids(tokenizer, LONGEST, texts) == whole


class Watched:
    def __init__(self, tokens_a_word: int) -> None:
        self.read: list[int] = []
        self._tokens_a_word = tokens_a_word

    def encode_batch_fast(self, texts: list[str]) -> list[Any]:
        self.read += map(len, texts)
        words = (text.split() for text in texts)
        return [
            type("Encoding", (), {"ids": [0] * min(LONGEST, len(some) * self._tokens_a_word)})
            for some in words
        ]


def test_what_is_cut_off_is_read_only_where_words_are_long() -> None:
    short, long = "short " * 1_000, ("l" * 90 + " ") * 1_000
    watched: Any = Watched(1)
    assert [len(ids) for ids in token_ids(watched, LONGEST, [short, long])] == [LONGEST] * 2
    begins, again = watched.read[:2], watched.read[2:]
    assert max(begins) <= LONGEST * MANY_CHARS_A_TOKEN
    assert again == [len(long)]


def test_a_tokenizer_that_panics_refuses_the_text() -> None:
    class PanicException(BaseException):
        pass

    class Panics:
        def encode_batch_fast(self, texts: list[str]) -> list[Any]:
            raise PanicException("byte index 1 is no char boundary")

    panics: Any = Panics()
    with pytest.raises(ModelError, match="the tokenizer fails on it: byte index 1"):
        token_ids(panics, LONGEST, ["a text"])
