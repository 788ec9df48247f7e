"""`python -m bench [model|batching|path|...]`: measure, and print ratios."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import (
    batching,
    beside,
    flood,
    judging,
    model_stage,
    profiled,
    stream_path,
    swaps,
)
from bench.machine import describe, print_rates
from bench.texts import load_texts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=["model", "batching", "path", "profile", "judging", "flood", "swaps", "beside"],
        help="default: model, batching and path",
    )
    parser.add_argument("--texts", type=Path, help="JSON lines with a text field")
    parser.add_argument(
        "--arrivals", type=Path, help="JSON lines with a time field, to be replayed"
    )
    parser.add_argument("--count", type=int, default=512, help="texts of the model measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of model and beside")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--records", type=int, default=40_000, help="of the path measurement")
    parser.add_argument("--scored", type=Path, help="of the judging: what bellwether score wrote")
    parser.add_argument("--rules", type=int, default=50, help="of the judging")
    parser.add_argument("--swaps", type=int, default=50, help="of the measurement of swaps")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a round of beside")
    options = parser.parse_args()
    if options.what == "judging" and options.scored is None:
        parser.error("judging needs --scored FILE")
    print(describe())
    if options.what in (None, "model"):
        model_stage.measure(
            load_texts(options.texts, options.count), rounds=options.rounds, device=options.device
        )
    if options.what in (None, "batching"):
        batching.measure(load_texts(options.texts, 2_000), options.arrivals, options.device)
    if options.what in (None, "path"):
        rates = stream_path.measure(load_texts(options.texts, options.records))
        print_rates(
            f"around the model (a no-op one), {options.records} records: records a second",
            {name: [rate] for name, rate in rates.items()},
            base=next(iter(rates)),
        )
    if options.what == "judging":
        print("per CPU-second, one thread")
        for name, rate in judging.measure(options.scored, options.records, options.rules).items():
            print(f"{name:40} {rate:>10,.0f} {1e6 / rate:>10.1f} us")
    if options.what == "flood":
        flood.measure(options.rounds)
    if options.what == "swaps":
        print(f"\n{options.swaps} swaps of the real model under load")
        swaps.measure(load_texts(options.texts, 2_000), options.swaps)
    if options.what == "beside":
        print("\nlatency of a worker at half its load, and beside a deep fit on the same cores")
        beside.measure(
            load_texts(options.texts, 2_000), rounds=options.rounds, seconds=options.seconds
        )
    if options.what == "profile":
        profiled.measure(load_texts(options.texts, 64), options.device)


if __name__ == "__main__":
    main()
