"""Only answers that are sure, and that stay the same without some of the words, become labels."""

from __future__ import annotations

from models.spec import Head
from models.stub import StubPredictor
from trainer.data.dataset import Example
from trainer.fitting.pseudo_labels import fill_in, without_words

HEADS = (Head(name="topic", labels=("cards", "other")), Head(name="risk", labels=("low", "high")))
# Eight times the label: no view without 15 % of the words can lose it.
PLAIN = "cards low " * 8


def examples(*texts: str) -> list[Example]:
    return [Example(text, "unlabelled", {}) for text in texts]


def test_sure_and_consistent_answers_become_labels():
    filled, reports = fill_in(StubPredictor(heads=HEADS), examples(PLAIN))
    assert filled[0].labels == {"topic": ("cards",), "risk": ("low",)}
    assert [(r.head, r.asked, r.sure, r.consistent) for r in reports] == [
        ("topic", 1, 1, 1),
        ("risk", 1, 1, 1),
    ]
    assert reports[0].by_label == {"cards": 1}


def test_doubtful_answer_stays_out():
    filled, reports = fill_in(StubPredictor(heads=HEADS), examples(PLAIN + "unsure " * 8))
    assert filled[0].labels == {}
    assert (reports[0].asked, reports[0].sure) == (1, 0)


def test_answer_that_hangs_on_single_words_stays_out():
    # Without a named label the stub answers by the sum of all words: every view differs.
    texts = [f"one two three four five six seven {n}" for n in range(40)]
    filled, reports = fill_in(StubPredictor(heads=HEADS), examples(*texts), [HEADS[0]])
    assert reports[0].sure == 40
    assert 0 < reports[0].consistent < 40
    assert sum(bool(example.labels) for example in filled) == reports[0].consistent


def test_labels_that_people_gave_stay_and_heads_can_be_chosen():
    given = [Example(PLAIN, "here", {"topic": ("other",)})]
    filled, reports = fill_in(StubPredictor(heads=HEADS), given, [HEADS[0]])
    assert filled == given
    assert reports[0].asked == 0


def test_a_view_lacks_some_words_and_is_the_same_each_time():
    text = " ".join(map(str, range(20)))
    view = without_words(text, "a").split()
    assert len(view) == 17
    assert sorted(view, key=int) == view
    assert without_words(text, "a") == " ".join(view)
    assert without_words(text, "b") != " ".join(view)
    assert without_words("alone", "a") == "alone"
