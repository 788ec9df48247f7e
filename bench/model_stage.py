"""Model stage: our micro-batches against one text at a time and against plain batches of 32."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from models.batcher import Batcher, Result
from models.predictor import load_predictor
from models.spec import Predictor

ROUNDS = 3
Way = Callable[[Predictor, Sequence[str]], None]


def one_at_a_time(predictor: Predictor, texts: Sequence[str]) -> None:
    for text in texts:
        predictor.predict(predictor.tokenize([text]))


def plain_batches(predictor: Predictor, texts: Sequence[str]) -> None:
    for start in range(0, len(texts), 32):
        predictor.predict(predictor.tokenize(texts[start : start + 32]))


def micro_batches(predictor: Predictor, texts: Sequence[str]) -> None:
    results: list[Result[int]] = []
    batcher: Batcher[int] = Batcher(
        predictor,
        max_batch_tokens=predictor.batch_tokens,
        deliver=results.extend,
        broken=failed,
    )
    batcher.submit(list(enumerate(texts)))
    batcher.start()
    while not batcher.stop(1.0):
        pass
    if len(results) != len(texts):
        raise RuntimeError(f"{len(results)} results for {len(texts)} texts")


def failed(error: Exception) -> None:
    raise error


def measure(texts: Sequence[str]) -> dict[str, float]:
    """Texts a second of each way, median of interleaved rounds; fp32 and the chosen precision."""
    ways: dict[
        str, tuple[Callable[[Predictor, Sequence[str]], None], Predictor, Sequence[str]]
    ] = {}
    plain = load_predictor(precision="fp32")
    chosen = load_predictor()
    for predictor in (plain, chosen):
        predictor.warm_up()
    few = texts[: len(texts) // 4]
    ways["one at a time, fp32"] = (one_at_a_time, plain, few)
    ways["unsorted batches of 32, fp32"] = (plain_batches, plain, few)
    ways["micro-batches, fp32"] = (micro_batches, plain, texts)
    ways["unsorted batches of 32, as chosen"] = (plain_batches, chosen, texts)
    ways["micro-batches, as chosen"] = (micro_batches, chosen, texts)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (run, predictor, sample) in ways.items():
            began = time.perf_counter()
            run(predictor, sample)
            rates[name].append(len(sample) / (time.perf_counter() - began))
    print(f"chosen: {chosen.description}")
    return {name: statistics.median(values) for name, values in rates.items()}
