"""Texts to token ids, as the encoder reads them: links shortened, and what is cut off not read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, normalizers

from models.spec import ModelError

LINK = re.compile(r"https?://\S+")
# Twice what most words take. Of MiniLM's tokenizer 20,000 characters take 5 ms of CPU time, and the
# first 1,000, which nearly always hold the 128 tokens that are read, 0.25 ms.
MANY_CHARS_A_TOKEN = 8


def shortened(text: str) -> str:
    """With each link as the word "http".

    Its letters say nothing, and in a tweet they are often a third of all tokens.
    """
    return LINK.sub("http", text) if "://" in text else text


def part_special_tokens(tokenizer: Tokenizer, ids: Iterable[int]) -> None:
    """Have these tokens read as letters where a text holds them as words of the vocabulary.

    Unigram vocabularies (XLM-R's, DeBERTa's) have "<pad>" as the likeliest word there is, so that a
    tokenizer finds it which does not look for special tokens.
    """
    for token in ids:
        word = tokenizer.id_to_token(token)
        if word and token in tokenizer.encode(word, add_special_tokens=False).ids:
            # Of its letters only the first is replaced: the others keep their places in the text.
            first = Regex(f"{re.escape(word[0])}(?={re.escape(word[1:])})")
            apart = normalizers.Replace(first, f"{word[0]} ")
            before = tokenizer.normalizer
            tokenizer.normalizer = normalizers.Sequence([before, apart]) if before else apart


def token_ids(tokenizer: Tokenizer, longest: int, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text's tokens by a tokenizer that cuts at the longest.

    Raises ModelError where the tokenizer panics.
    """
    whole = [shortened(text) for text in texts]
    begins = [_begin(text, longest * MANY_CHARS_A_TOKEN) for text in whole]
    found = _encode(tokenizer, begins)
    # A begin that does not fill the encoder is of a text with long words, or of none.
    more = [at for at, ids in enumerate(found) if len(ids) < longest and begins[at] != whole[at]]
    if more:
        for at, ids in zip(more, _encode(tokenizer, [whole[at] for at in more]), strict=True):
            found[at] = ids
    return found


def _begin(text: str, chars: int) -> str:
    """Whole words of so many characters at most; the whole text where no word ends there."""
    end = text.rfind(" ", 0, chars) if len(text) > chars else -1
    return text if end < 0 else text[:end]


def _encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    try:
        return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
    except BaseException as error:
        # What Rust raises where it panics is no Exception; it would end the thread, for one text.
        if type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"the tokenizer fails on it: {error}") from None
