"""Forward paths of an encoder (packed or padded, fp32, bf16, int8) and the fastest of them here."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch

from models.encoder import Encoder, use_bf16_linears
from models.encoder_files import is_plain
from models.int8 import multiplies_int8
from models.packed import PackedEncoder, Precision, multiplies_bf16
from models.packed_int8 import Int8Encoder
from models.race import race
from models.spec import ModelError, Scores
from models.window import cut_padded

MEASURE_S = 0.5
# Below this gain, noise of a busy machine would decide, and two workers would differ for nothing.
ROUNDING_MIN_SPEEDUP = 1.15
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
"""From the exact one to the one that rounds most."""

SAMPLE_TEXTS = (
    "Where is my card?",
    "Profit at the ferry operator doubled after a record summer, and the dividend rises a fifth.",
    "$ABCD down 8% pre-market, the recall is bigger than they said. Out.",
    """Someone has taken 430 pounds from my account in a city I have never been to. Please block
    everything and call me back today, I can't pay my rent otherwise.""",
    """The central bank left rates unchanged but said that inflation would take longer to fall
    than it had hoped, which traders read as one more rise before the summer. Yields on ten-year
    bonds climbed to their highest since March while shares of home builders and banks gave up the
    gains they had made in the morning.""",
    "ok thanks, works now",
    "The regulator opened an inquiry into how the broker handled its clients' orders.",
    "Transfer still pending after four days, and nobody answers in the chat.",
)

Pool = Callable[[Sequence[Sequence[int]]], torch.Tensor]
"""Token ids of n texts to their vectors: (n, hidden), float32, on the encoder's device."""


class ForwardPath(NamedTuple):
    """How vectors are computed: the precision of matrix products, and whether padding is left out.

    Packed and padded differ by the order of additions only (1e-5 in fp32); bf16 rounds, and int8
    more so; it is packed always.
    """

    precision: Precision
    packed: bool

    def __str__(self) -> str:
        return f"{'packed' if self.packed else 'padded'} {self.precision}"


def build(encoder: Encoder, path: ForwardPath) -> Pool:
    """That path over the encoder's weights as they are now; the encoder itself stays as it is."""
    if path.precision == "int8":
        return Int8Encoder(encoder).pool
    if path.packed:
        return PackedEncoder(encoder, path.precision).pool
    if path.precision == "fp32":
        return encoder.pool
    other = copy.deepcopy(encoder)
    use_bf16_linears(other.model)
    return other.pool


def candidates(encoder: Encoder, precision: Precision | Literal["auto"]) -> list[ForwardPath]:
    """The paths worth trying, the one that the others must agree with first.

    On a CPU padding never won, and trying it would load transformers. Raises ModelError where int8
    is asked for and this device or encoder has no path for it.
    """
    on_cpu = encoder.device.type == "cpu"
    plain = is_plain(encoder.config)
    able = {
        "fp32": True,
        "bf16": not on_cpu or multiplies_bf16(),
        "int8": on_cpu and plain and multiplies_int8(),
    }
    if precision == "int8" and not able["int8"]:
        raise ModelError(
            "model.precision: int8 needs a CPU with VNNI or AMX, model.device cpu and an encoder "
            "of BERT's or RoBERTa's kind; set it to auto"
        )
    precisions = [one for one in PRECISIONS if able[one]] if precision == "auto" else [precision]
    ways: tuple[bool, ...] = (False,)
    if plain:
        ways = (True,) if on_cpu else (False, True)
    return [ForwardPath(one, packed) for one in precisions for packed in ways]


def choose(
    encoder: Encoder,
    paths: Sequence[ForwardPath],
    samples: Sequence[list[int]],
    answers: Callable[[torch.Tensor], list[Scores]],
    *,
    padded_budget: int,
) -> tuple[ForwardPath, Pool, str]:
    """Run each path on samples; returns the fastest honest one and the reason, for people.

    answers: of vectors. A path must give the first one's labels, but for those from which the first
    abstains: nobody is given them, and rounding decides them. padded_budget: tokens of a batch,
    padding included, that a padded path would be given. The race is over as many samples as fill
    one, since what counts is who keeps up when much comes: in a small batch the products are little
    of the time. A path that can't run here is out of the race, and the reason says so; the first
    must run.
    """
    samples = sorted(samples, key=len)
    batches = {True: [samples], False: cut_padded(samples, padded_budget)}
    fills = max(1, padded_budget // sum(map(len, samples)))
    full = [sample for sample in samples for _ in range(fills)]
    raced = {True: [full], False: cut_padded(full, padded_budget)}
    running: dict[ForwardPath, Pool] = {}
    out: list[str] = []
    expected: list[Scores] = []
    for path in paths:
        try:
            pool = build(encoder, path)
            found = answers(torch.cat([pool(batch) for batch in batches[path.packed]]))
        except (RuntimeError, ImportError, ModelError) as error:
            if not running:
                raise
            out.append(f"{path} fails here: {str(error).strip().splitlines()[0]}")
            continue
        expected = expected or found
        if all(map(_same_labels, expected, found)):
            running[path] = pool
        else:
            out.append(f"{path} changes labels of the sample texts")
    runs = {path: _over(pool, raced[path.packed]) for path, pool in running.items()}
    seconds = race(runs, MEASURE_S)
    path = fastest(seconds)
    speeds = ", ".join(f"{one} {took * 1e3:.0f} ms" for one, took in seconds.items())
    measured = f"{speeds} for {len(full)} texts" if len(paths) > 1 else "the only one here"
    return path, running[path], "; ".join([measured, *out])


def fastest(seconds: Mapping[ForwardPath, float]) -> ForwardPath:
    """The quickest path, one that rounds only if it clearly beats those that round less."""
    best: dict[Precision, ForwardPath] = {}
    for path in sorted(seconds, key=lambda path: -seconds[path]):
        best[path.precision] = path
    first, *others = (best[precision] for precision in PRECISIONS if precision in best)
    for path in others:
        if seconds[first] >= seconds[path] * ROUNDING_MIN_SPEEDUP:
            first = path
    return first


def _same_labels(expected: Scores, found: Scores) -> bool:
    return all(
        answer.abstained or found[head].label == answer.label for head, answer in expected.items()
    )


def _over(pool: Pool, batches: Sequence[Sequence[list[int]]]) -> Callable[[], None]:
    def run() -> None:
        # To the CPU, since a GPU answers before it is done.
        torch.cat([pool(batch) for batch in batches]).cpu()

    return run
