"""Model stage: our batcher against one text at a time and the best plain loop over sorted texts."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from bench.machine import print_rates
from bench.peers.scoring import padded_predictor
from bench.shapes import SHIPPED, shaped
from models.batcher import Batcher
from models.forward_paths import ForwardPath
from models.packed import Precision, multiplies_bf16
from models.predictor import TorchPredictor, load_predictor
from models.results import Result
from stream.runtime.heap import spare_long_lived

PLAIN = "sorted batches of 16, padded {}"
# One text at a time takes so long that no more are given to it.
FEW = 2_000
ON_GPU = "sorted batches of 256, all of the model in bf16"


def measure(texts: Sequence[str], *, rounds: int, device: str, shape: str = SHIPPED) -> None:
    """Print texts a second of each way over interleaved rounds. Tokenising counts everywhere."""

    def plain(precision: Precision) -> TorchPredictor:
        if shape == SHIPPED:
            return padded_predictor(precision, device)
        return shaped(shape, device, ForwardPath(precision, packed=False))

    plain_fp32 = plain("fp32")
    chosen = load_predictor(device=device) if shape == SHIPPED else shaped(shape, device)
    chosen.warm_up()
    print(f"{shape}, chosen: {chosen.description}")
    # As a worker does: results that are kept are no garbage to be searched again and again.
    spare_long_lived()
    few = texts[: max(1, min(FEW, len(texts) // 4))]
    ways: dict[str, tuple[Callable[[], None], int]] = {
        "one text at a time, padded fp32": (lambda: one_at_a_time(plain_fp32, few), len(few)),
        PLAIN.format("fp32"): (lambda: sorted_batches(plain_fp32, texts), len(texts)),
    }
    base = PLAIN.format("fp32")
    if plain_fp32.device.type == "cuda" or multiplies_bf16():
        plain_bf16 = plain("bf16")
        base = PLAIN.format("bf16")
        ways[base] = (lambda: sorted_batches(plain_bf16, texts), len(texts))
    if plain_fp32.device.type == "cuda":
        base = ON_GPU
        ways[base] = (whole_model_in_bf16(plain_fp32, texts), len(texts))
    ways[f"full batches offline, {chosen.path}"] = (
        lambda: full_batches(chosen, texts),
        len(texts),
    )
    ways[f"ours through the batcher, {chosen.path}"] = (
        lambda: through_the_batcher(chosen, texts),
        len(texts),
    )
    rates: dict[str, list[float]] = {name: [] for name in ways}
    cpu_rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, (run, count) in ways.items():
            began, cpu_began = time.perf_counter(), time.process_time()
            run()
            if turn:  # the first one warms up
                rates[name].append(count / (time.perf_counter() - began))
                cpu_rates[name].append(count / (time.process_time() - cpu_began))
    title = f"model stage, {len(texts)} texts, {rounds} rounds, ratio to {base}"
    print_rates(f"{title}: texts a second", rates, base=base)
    # What neighbours on the same cores take away counts less here.
    print_rates(f"{title}: texts a second of this process's CPU time", cpu_rates, base=base)


def one_at_a_time(predictor: TorchPredictor, texts: Sequence[str]) -> None:
    for text in texts:
        predictor.predict(predictor.tokenize([text]))


def sorted_batches(predictor: TorchPredictor, texts: Sequence[str]) -> None:
    tokens = sorted(predictor.tokenize(texts), key=len)
    for start in range(0, len(tokens), 16):
        predictor.predict(tokens[start : start + 16])


def whole_model_in_bf16(predictor: TorchPredictor, texts: Sequence[str]) -> Callable[[], None]:
    """The loop that somebody with a GPU writes; its answers are labels and confidences alone."""
    encoder = predictor._encoder  # noqa: SLF001 - the same weights
    joint = predictor._joint  # noqa: SLF001
    module = copy.deepcopy(encoder.model).bfloat16()
    linear = copy.deepcopy(joint.linear).bfloat16()
    widths = [len(head.labels) for head in joint.heads]

    @torch.inference_mode()
    def run() -> None:
        tokens = sorted(encoder.tokenize(texts), key=len)
        for start in range(0, len(tokens), 256):
            ids, mask = (
                part.to(predictor.device) for part in encoder.pad(tokens[start : start + 256])
            )
            states = module(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weights).sum(dim=1) / weights.sum(dim=1)
            for part in linear(pooled).float().split(widths, dim=1):
                confidence, label = part.softmax(dim=1).max(dim=1)
                confidence.tolist()
                label.tolist()

    return run


def full_batches(predictor: TorchPredictor, texts: Sequence[str]) -> None:
    """The same forward pass in a plain loop: what the batcher could reach at best."""
    batches = cut_full(predictor, sorted(predictor.tokenize(texts), key=len))
    with ThreadPoolExecutor(predictor.lanes) as lanes:
        for _ in lanes.map(predictor.predict, batches):
            pass


def cut_full(predictor: TorchPredictor, tokens: Sequence[list[int]]) -> list[list[list[int]]]:
    """Batches as large as they are worth, in that order."""
    batches: list[list[list[int]]] = [[]]
    cost = 0
    for row in tokens:
        batch = batches[-1]
        cost = len(row) * (len(batch) + 1) if predictor.pads else cost + len(row)
        if batch and cost > predictor.batch_tokens:
            batches.append([])
            cost = len(row)
        batches[-1].append(row)
    return batches


def through_the_batcher(predictor: TorchPredictor, texts: Sequence[str]) -> None:
    results: list[Result[int]] = []
    failures: list[Exception] = []
    batcher: Batcher[int] = Batcher(
        predictor,
        max_batch_tokens=predictor.batch_tokens,
        deliver=results.extend,
        broken=failures.append,
    )
    batcher.submit(list(enumerate(texts)))
    batcher.start()
    while not batcher.stop(1.0):
        pass
    if failures:
        raise failures[0]
    if len(results) != len(texts):
        raise RuntimeError(f"{len(results)} results for {len(texts)} texts")
