"""A user's own head joins the others in one checkpoint, and the others stay what they were."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

import trainer.fitting.pseudo_labels
import trainer.fitting.tune
from models.checkpoint import read_checkpoint
from models.predictor import load_predictor
from models.spec import Calibration, Head
from tests.tiny_model import write_tiny_checkpoint
from trainer.data.dataset import split_by_label
from trainer.data.labelled_file import LabelledFile
from trainer.errors import DatasetError, FitError
from trainer.evaluate import score_texts
from trainer.fitting.config import FitConfig, bf16_helps, default_config
from trainer.fitting.fit import Watch
from trainer.fitting.pretraining import adapt
from trainer.fitting.request import Request
from trainer.fitting.resume import state_path
from trainer.fitting.tune import Tuned, tune

CONFIG = FitConfig(
    method="heads", epochs=8, batch_size=8, head_rate=0.05, encoder_rate=1e-3, bf16=False
)
THINGS = ("ferry", "radio", "engine", "lamp", "kettle", "drill", "boiler", "printer")
ROWS = [
    (f"the {thing} {verb}", "broken" if verb in {"failed", "leaks"} else "fine")
    for thing in THINGS
    for verb in ("failed", "shines", "leaks", "hums")
]


@pytest.fixture
def request_(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    # The tiny checkpoint's encoder keeps its answers by few reminders, in a moment.
    monkeypatch.setattr("trainer.fitting.forgetting.COMPARED_TEXTS", 40)
    data = tmp_path / "own.tsv"
    data.write_text("text\tlabel\n" + "".join(f"{t}\t{label}\n" for t, label in ROWS), "utf-8")
    return Request(
        data=LabelledFile(data),
        head="state",
        output=tmp_path / "mine",
        config=CONFIG,
        parent=tiny_checkpoint,
        device="cpu",
        validation_share=0.25,
    )


def run(request: Request, **changes: object) -> tuple[Tuned, list[str]]:
    said: list[str] = []
    watch = Watch(epoch=lambda epoch: said.append(str(epoch)))
    tuned = tune(
        dataclasses.replace(request, **changes),
        watch=watch,
        say=lambda line: said.append(str(line)),
    )
    return tuned, said


def test_new_head_answers_beside_the_old_ones_which_answer_as_before(request_):
    tuned, said = run(request_)
    before = load_predictor(request_.parent, device="cpu", precision="fp32")
    now = load_predictor(request_.output, device="cpu", precision="fp32")
    assert [head.name for head in now.heads] == ["mood", "kind", "state"]
    texts = [text for text, _ in ROWS]
    for old, new in zip(score_texts(before, texts), score_texts(now, texts), strict=True):
        assert old["mood"] == new["mood"]
        assert old["kind"] == new["kind"]
    assert tuned.kept == {"mood": 1.0, "kind": 1.0}
    assert tuned.figures["accuracy"] > 0.8
    assert said[0] == "head state: 2 labels, 24 texts to learn from, 8 to validate with"
    assert said[1].startswith("epoch 1: train loss")
    assert tuned.checkpoint.training["parent"] == read_checkpoint(request_.parent)[0].version
    epochs = tuned.checkpoint.training["epochs"]
    assert [epoch["number"] for epoch in epochs] == list(range(1, CONFIG.epochs + 1))
    assert epochs[0]["accuracy"]["state"] == round(tuned.epochs[0].accuracy["state"], 4)
    bins = tuned.checkpoint.metrics["reliability"]["state"]
    assert sum(one["n"] for one in bins) == tuned.figures["n"] == 8
    assert not state_path(request_.output).exists()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_methods_that_change_the_encoder_learn_and_remember(request_, method):
    tuned, _ = run(request_, config=dataclasses.replace(CONFIG, method=method))
    assert tuned.figures["accuracy"] > 0.8
    assert min(tuned.kept.values()) > 0.7
    assert load_predictor(request_.output, device="cpu", precision="fp32").heads[2].name == "state"


def test_head_of_a_fitted_model_is_taught_further(request_):
    run(request_)
    again, _ = run(request_, parent=request_.output, output=request_.output.with_name("again"))
    assert [head.name for head in again.checkpoint.heads] == ["mood", "kind", "state"]
    assert again.epochs[0].val_loss < 0.6
    assert again.calibration == {"other": "new"}


def test_a_few_tickets_do_not_loosen_what_the_head_was_calibrated_for(request_, tmp_path):
    own = Head(
        name="mood",
        labels=("bad", "good"),
        by_kind={"news": Calibration(3.0, 0.9), "ticket": Calibration(1.0, 0.8)},
    )
    strict = write_tiny_checkpoint(
        tmp_path / "strict", Path(read_checkpoint(request_.parent)[0].encoder), heads=(own,)
    )
    rows = [f"{text}\t{'bad' if label == 'broken' else 'good'}\tticket\n" for text, label in ROWS]
    request_.data.path.write_text("text\tlabel\tsource\n" + "".join(rows), "utf-8")
    tuned, said = run(request_, head="mood", parent=tmp_path / "strict")
    assert tuned.calibration == {"news": "kept", "ticket": "kept", "other": "kept"}
    assert said[-1].startswith(
        "calibration: as before or stricter for news, ticket and any other source; a less strict"
    )
    (head,) = tuned.checkpoint.heads
    assert strict.heads == (own,)
    for kind in ("news", "ticket"):
        assert head.by_kind[kind].temperature >= own.by_kind[kind].temperature
        assert head.by_kind[kind].abstain_below >= own.by_kind[kind].abstain_below


def test_interrupted_tune_leaves_no_model_and_goes_on(request_, tmp_path):
    def interrupt(epoch: object) -> None:
        if epoch.number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(request_, watch=Watch(epoch=interrupt), say=lambda _line: None)
    assert not request_.output.exists()
    assert state_path(request_.output).exists()
    # Another folder of the same version, as --model names a former champion.
    tuned, said = run(request_, parent=shutil.copytree(request_.parent, tmp_path / "same"))
    epochs = [line for line in said if line.startswith("epoch")]
    # What was said of an epoch is kept: the third is not done again.
    assert epochs[0].startswith("epoch 4:")
    assert len(tuned.epochs) == CONFIG.epochs
    assert not state_path(request_.output).exists()


def test_changed_data_does_not_go_on_from_the_old_state(request_):
    with pytest.raises(KeyboardInterrupt):
        tune(
            request_,
            watch=Watch(epoch=lambda _epoch: (_ for _ in ()).throw(KeyboardInterrupt)),
            say=lambda _line: None,
        )
    request_.data.path.write_text(request_.data.path.read_text() + "the saw failed\tbroken\n")
    _, said = run(request_)
    assert next(line for line in said if line.startswith("epoch")).startswith("epoch 1:")


def test_existing_output_is_refused_before_any_work(request_):
    request_.output.mkdir()
    with pytest.raises(FitError, match="already exists"):
        run(request_)


def test_place_that_can_not_be_written_is_refused_before_the_first_epoch(request_):
    (request_.output.parent / "a file").write_text("")
    said = []
    with pytest.raises(FitError, match=r"--output .*: can't be written .*choose another place"):
        tune(
            dataclasses.replace(request_, output=request_.output.parent / "a file" / "mine"),
            watch=Watch(epoch=said.append),
            say=lambda _line: None,
        )
    assert said == []


def test_unusable_data_is_refused(request_):
    request_.data.path.write_text("text\tlabel\nonly one\tx\n")
    with pytest.raises(DatasetError, match="at least 10"):
        run(request_)


def test_cross_validation_tries_the_rates_and_takes_the_best(request_):
    tuned, said = run(request_, folds=3, rates=(1e-6, 0.05))
    assert [line.split(":")[0] for line in said[1:3]] == ["rate 1e-06", "rate 0.05"]
    assert tuned.checkpoint.training["config"]["head_rate"] == 0.05


def test_a_rate_at_which_the_fit_diverges_is_only_not_taken(request_):
    steep = dataclasses.replace(CONFIG, weight_decay=1e8)
    tuned, said = run(request_, config=steep, folds=3, rates=(1e-8, 0.05))
    assert said[2] == "rate 0.05: accuracy 0.0000 ± 0.0000"
    assert tuned.checkpoint.training["config"]["head_rate"] == 1e-8


def test_too_many_folds_are_refused(request_):
    with pytest.raises(FitError, match="ask for fewer folds"):
        run(request_, folds=30)


def test_sure_answers_on_unlabelled_texts_are_learnt_from_too(request_, tmp_path):
    unlabelled = tmp_path / "more.txt"
    unlabelled.write_text("".join(f"our {thing} failed\n" for thing in THINGS))
    tuned, said = run(request_, unlabelled=unlabelled, pseudo_label=True)
    assert any(line.startswith("state: 8 texts without a label") for line in said)
    assert tuned.figures["accuracy"] > 0.8


def test_unlabelled_copies_of_labelled_texts_are_not_learnt_from(request_, tmp_path, monkeypatch):
    """Else a second fit would train on the texts that validate it."""
    asked: list[str] = []

    def fill_in(predictor, examples, heads):
        asked.extend(example.text for example in examples)
        return trainer.fitting.pseudo_labels.fill_in(predictor, examples, heads)

    monkeypatch.setattr("trainer.fitting.tune.fill_in", fill_in)
    unlabelled = tmp_path / "more.txt"
    copies = [f"{text.upper()}  https://example.com/{n}" for n, (text, _) in enumerate(ROWS)]
    unlabelled.write_text("\n".join([*copies, "our ferry failed"]))
    _, said = run(request_, unlabelled=unlabelled, pseudo_label=True)
    assert asked == ["our ferry failed"]
    assert f"{unlabelled}: 32 texts have a label in {request_.data.path}, so are left out" in said
    unlabelled.write_text("\n".join(copies))
    again = dataclasses.replace(request_, output=tmp_path / "again")
    _, said = run(again, unlabelled=unlabelled, pseudo_label=True)
    assert any(line.startswith("state: 0 texts without a label") for line in said)


def test_an_encoder_does_not_adapt_to_texts_that_validate(request_, tmp_path, monkeypatch):
    read: list[str] = []
    validated: set[str] = set()

    def adapt_to(encoder, texts, config, **options):
        read.extend(texts)
        return adapt(encoder, texts, config, **options)

    def split(examples, head, share):
        train, validation = split_by_label(examples, head, share)
        validated.update(example.text for example in validation)
        return train, validation

    monkeypatch.setattr("trainer.fitting.tune.adapt", adapt_to)
    monkeypatch.setattr("trainer.fitting.tune.split_by_label", split)
    unlabelled = tmp_path / "more.txt"
    more = [f"the {thing} in house {n} failed" for n in range(5) for thing in THINGS]
    unlabelled.write_text("\n".join([*more, *(text.upper() for text, _ in ROWS)]))
    _, said = run(request_, unlabelled=unlabelled, adapt_epochs=1)
    assert validated
    left = {text.lower() for text in read}
    assert left == {*more, *(text for text, _ in ROWS)} - validated
    told = f"{unlabelled}: {len(validated)} texts are validated with, so are left out"
    assert told in said


def test_encoder_adapts_to_unlabelled_texts_first(request_, tmp_path):
    unlabelled = tmp_path / "more.txt"
    texts = [f"the {thing} in house {n} failed" for n in range(5) for thing in THINGS]
    unlabelled.write_text("\n".join(texts))
    tuned, said = run(request_, unlabelled=unlabelled, adapt_epochs=2)
    assert any(line.startswith("adapted to the unlabelled texts") for line in said)
    _, weights = read_checkpoint(request_.output)
    assert any(name.startswith("encoder.") for name in weights)
    assert min(tuned.kept.values()) > 0.5


def test_language_modelling_learns_the_texts(request_):
    start = trainer.fitting.tune._load(request_)
    texts = [f"the {thing} in house {n} failed" for n in range(10) for thing in THINGS]
    config = dataclasses.replace(CONFIG, encoder_rate=5e-3)
    losses = adapt(start.encoder, texts, config, epochs=6).losses
    assert losses[-1] < 0.8 * losses[0]
    with pytest.raises(FitError, match="at least 32"):
        adapt(start.encoder, texts[:5], config, epochs=1)


def test_every_method_has_defaults_that_a_user_can_overrule():
    assert default_config("heads").epochs > default_config("full").epochs
    assert default_config("full", epochs=2, dropout=None).epochs == 2
    assert default_config("lora", dropout=None).dropout == FitConfig().dropout
    new, known = (default_config("full", new_head=one, hide_share=None) for one in (True, False))
    assert new.hide_share > known.hide_share
    assert new.encoder_dropout > known.encoder_dropout
    assert default_config("full", new_head=True, hide_share=0.2).hide_share == 0.2
    assert bf16_helps(torch.device("cpu")) in {True, False}
