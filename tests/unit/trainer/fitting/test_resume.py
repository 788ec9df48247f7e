"""An interrupted fit goes on as if nothing had happened, and never from another fit's state."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from models.encoder import load_encoder
from models.spec import Head
from tests.full_disk import full_disk
from tests.tiny_model import write_tiny_encoder
from trainer.data.dataset import Example
from trainer.errors import FitError
from trainer.fitting.config import FitConfig
from trainer.fitting.fit import Fitted, Watch, fit
from trainer.fitting.measure import Epoch
from trainer.fitting.resume import State, read_state, state_path, write_state

HEAD = Head(name="mood", labels=("bad", "good"))
EXAMPLES = [
    Example(f"the {thing} {word}", "here", {"mood": (mood,)})
    for thing in ("ferry", "radio", "lamp")
    for word, mood in (("broke", "bad"), ("shines", "good"), ("lost", "bad"), ("won", "good"))
]
CONFIG = FitConfig(
    method="full",
    epochs=4,
    batch_size=4,
    max_tokens=16,
    hide_share=0.1,
    encoder_dropout=0.1,
    bf16=False,
)


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder"))


def run(folder: Path, state_file: Path, *, identity: str = "a", **rest: object) -> Fitted:
    encoder = load_encoder(str(folder))
    if rest.pop("unread", False):
        encoder.model.register_parameter("unread", nn.Parameter(torch.ones(2)))
    config = dataclasses.replace(CONFIG, method=rest.pop("method", "full"))
    return fit(
        encoder,
        [HEAD],
        EXAMPLES,
        EXAMPLES,
        config,
        state_file=state_file,
        identity=identity,
        **rest,
    )


def killed_in_epoch(number: int) -> Watch:
    def step(done: int, of: int, _loss: float) -> None:
        if done > (number - 1) * of / CONFIG.epochs:
            raise KilledError

    return Watch(step=step)


@pytest.mark.parametrize("method", ["heads", "lora", "full"])
def test_interrupted_fit_ends_with_the_weights_of_one_that_was_not(tmp_path, folder, method):
    whole = run(folder, tmp_path / "whole", method=method)
    state_file = tmp_path / "state"
    with pytest.raises(KilledError):
        run(folder, state_file, method=method, watch=killed_in_epoch(3))
    seen: list[Epoch] = []
    resumed = run(folder, state_file, method=method, watch=Watch(epoch=seen.append))
    assert [epoch.number for epoch in seen] == [3, 4]
    assert resumed.epochs == whole.epochs
    assert resumed.weights.keys() == whole.weights.keys()
    for name, value in whole.weights.items():
        torch.testing.assert_close(resumed.weights[name], value, rtol=0, atol=0)


def test_what_no_layer_of_an_encoder_reads_does_not_stop_a_fit(tmp_path, folder):
    state_file = tmp_path / "state"
    with pytest.raises(KilledError):
        run(folder, state_file, unread=True, watch=killed_in_epoch(3))
    resumed = run(folder, state_file, unread=True)
    assert torch.equal(resumed.weights["encoder.unread"], torch.ones(2).half())


def test_another_fit_begins_anew(tmp_path, folder):
    state_file = tmp_path / "state"
    run(folder, state_file, identity="a")
    seen: list[Epoch] = []
    run(folder, state_file, identity="b", watch=Watch(epoch=seen.append))
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4]


def test_state_is_given_back_whole_and_only_to_its_own_fit(tmp_path):
    file = tmp_path / "folder" / "state"
    tensors = {"a": torch.arange(3.0), "steps": torch.tensor(7)}
    write_state(file, State(tensors, {"identity": "a", "epochs": [1]}))
    state = read_state(file, same={"identity": "a"})
    assert state is not None
    assert state.facts == {"identity": "a", "epochs": [1]}
    assert all(torch.equal(state.tensors[name], value) for name, value in tensors.items())
    assert read_state(file, same={"identity": "b"}) is None
    assert [one.name for one in file.parent.iterdir()] == ["state"]


@pytest.mark.parametrize("keep", [0, 5, 40])
def test_half_written_state_is_no_state(tmp_path, keep):
    file = tmp_path / "state"
    write_state(file, State({"a": torch.ones(100)}, {"identity": "a"}))
    file.write_bytes(file.read_bytes()[:keep])
    assert read_state(file, same={"identity": "a"}) is None


def test_on_a_full_disk_the_state_before_is_kept_and_the_file_named(tmp_path):
    file = tmp_path / "fit" / "state"
    write_state(file, State({"a": torch.ones(4)}, {"identity": "mine", "epoch": 1}))
    larger = State({"a": torch.ones(4_000)}, {"identity": "mine", "epoch": 2})
    with full_disk(1_000), pytest.raises(FitError, match=r"fit/state: .*can't be kept.*free space"):
        write_state(file, larger)
    assert [one.name for one in file.parent.iterdir()] == ["state"]
    state = read_state(file, same={"identity": "mine"})
    assert state is not None
    assert state.facts["epoch"] == 1


def test_state_lies_beside_the_output_where_no_worker_takes_it_for_a_model(tmp_path):
    assert state_path(tmp_path / "mine").parent == tmp_path
    assert state_path(tmp_path / "mine") != state_path(tmp_path / "mine", "pseudo-labelled")
