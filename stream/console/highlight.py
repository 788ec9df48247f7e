"""Which words of an alert's evidence to mark: what the texts share, and whom they are about. Pure.

This needs no model and says so on the page: shared words are what the events have in common, not
what made the model decide.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
LEAST_CHARS = 4
MOST_WORDS = 12
# Words that texts share without saying anything by it.
COMMON = frozenset(
    re.findall(
        r"\w+",
        """about above after again against also another because been before being below between
        both could does doing down during each even every from further have having here hers
        herself himself into itself just like made make many more most much must myself never only
        other ours over said same says should since some such than that their theirs them then
        there these they this those through under until upon very want were what when where which
        while will with within without would your yours""",
    )
)


def shared_words(texts: Sequence[str], subject: str) -> list[str]:
    """Lower-cased words to mark: of the subject, and those in two texts or more, most shared first.

    subject is "<kind>:<id>".
    """
    in_texts = Counter(word for text in set(texts) for word in _words(text))
    about = [word for word in _words(subject.partition(":")[2], 1) if word in in_texts]
    shared = [
        word
        for word, count in sorted(in_texts.items(), key=lambda item: (-item[1], item[0]))
        if count > 1 and word not in COMMON and len(word) >= LEAST_CHARS
    ]
    return list(dict.fromkeys([*about, *shared]))[:MOST_WORDS]


def _words(text: str, least: int = 2) -> set[str]:
    return {found.lower() for found in WORD.findall(text) if len(found) >= least}
