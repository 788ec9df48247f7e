"""Choosing the learning rate by k-fold cross-validation."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from statistics import mean, stdev
from typing import NamedTuple

from models.encoder import Encoder
from models.heads import JointHeads
from models.spec import Head
from trainer.data.dataset import Example, folds
from trainer.errors import DivergedError, FitError
from trainer.fitting.adapters import Method
from trainer.fitting.config import FitConfig
from trainer.fitting.fit import Watch, fit

RATES: dict[Method, tuple[float, ...]] = {
    "heads": (1e-3, 5e-3, 2e-2),
    "lora": (3e-4, 1e-3, 2e-3),
    "full": (5e-5, 1e-4, 2e-4),
}
"""The rates that are tried for each method unless others are asked for."""


class Rated(NamedTuple):
    """A learning rate and the validation accuracy of each fold's best epoch, 0 if it diverged."""

    rate: float
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        return mean(self.accuracies)

    def __str__(self) -> str:
        spread = stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0
        return f"rate {self.rate:g}: accuracy {self.mean:.4f} ± {spread:.4f}"


def choose_rate(
    encoder: Encoder,
    head: Head,
    examples: Sequence[Example],
    config: FitConfig,
    *,
    folds_wanted: int,
    rates: Sequence[float] = (),
    known: JointHeads | None = None,
    watch: Watch | None = None,
    say: Callable[[Rated], None] = lambda _: None,
) -> FitConfig:
    """Config with the rate whose mean accuracy over the folds is best; of equals, the lowest.

    Every fold is fitted from the same start, on a copy of the encoder. Raises FitError when there
    are fewer examples than folds.
    """
    if folds_wanted < 2:  # noqa: PLR2004 - one part can't be learnt from and judged by
        raise FitError("--cross-validate needs at least 2 folds")
    parts = folds(examples, head.name, folds_wanted)
    if not all(parts):
        raise FitError(
            f"--cross-validate {folds_wanted}: {len(examples)} texts are too few; "
            "ask for fewer folds"
        )
    quiet = Watch(step=watch.step) if watch else None
    rated = []
    for rate in sorted(rates or RATES[config.method]):
        accuracies = []
        for held_out in range(folds_wanted):
            train = [one for at, part in enumerate(parts) if at != held_out for one in part]
            try:
                fitted = fit(
                    copy.deepcopy(encoder),
                    [head],
                    train,
                    parts[held_out],
                    with_rate(config, rate),
                    known=known,
                    watch=quiet,
                )
            except DivergedError:
                # The others may do well.
                accuracies.append(0.0)
            else:
                accuracies.append(fitted.chosen.accuracy[head.name])
        rated.append(Rated(rate, tuple(accuracies)))
        say(rated[-1])
    best = max(rated, key=lambda one: (one.mean, -one.rate))
    return with_rate(config, best.rate)


def with_rate(config: FitConfig, rate: float) -> FitConfig:
    """Config with that rate for what its method mainly trains."""
    if config.method == "heads":
        return dataclasses.replace(config, head_rate=rate)
    return dataclasses.replace(config, encoder_rate=rate)
