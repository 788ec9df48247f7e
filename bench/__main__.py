"""`python -m bench [model|batching|path|...]`: measure, and print ratios."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench import (
    batching,
    beside,
    end_to_end,
    flood,
    floors,
    judging,
    latency,
    model_stage,
    parity,
    profiled,
    redis_load,
    rollback,
    start,
    stream_path,
    swaps,
    workers,
)
from bench.machine import describe, print_rates
from bench.shapes import SHAPES, SHIPPED
from bench.texts import load_texts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=list(MEASURES), help=f"default: {', '.join(BY_DEFAULT)}"
    )
    parser.add_argument(
        "--texts", type=Path, help="JSON lines with a text field; else the repository's"
    )
    parser.add_argument(
        "--arrivals", type=Path, help="JSON lines with a time field, to be replayed"
    )
    parser.add_argument("--count", type=int, default=512, help="texts of model and parity")
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often, where ways are measured in turn"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--shape", choices=list(SHAPES), default=SHIPPED, help="of the encoder in model"
    )
    parser.add_argument(
        "--records", type=int, default=40_000, help="records of path, judging, redis"
    )
    parser.add_argument(
        "--scored", type=Path, help="what bellwether score wrote, for judging and redis"
    )
    parser.add_argument("--rules", type=int, default=50, help="how many, in judging")
    parser.add_argument("--swaps", type=int, default=50, help="how many, in swaps")
    parser.add_argument(
        "--seconds",
        type=float,
        default=20.0,
        help="of a run of beside, end-to-end, latency, workers",
    )
    parser.add_argument(
        "--events", type=int, default=8_000, help="events of end-to-end, latency, workers"
    )
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=[1, 2],
        help="how many at a time, in turn, in workers",
    )
    parser.add_argument("--no-op", action="store_true", help="a no-op model, in workers")
    parser.add_argument("--bootstrap", help=f"HOST:PORT of a real Kafka, for {', '.join(ON_KAFKA)}")
    parser.add_argument(
        "--ready-made",
        action="store_true",
        help="in end-to-end also Quix Streams, Bytewax and OpenVINO, installed into out/peers",
    )
    options = parser.parse_args()
    if options.what in {"judging", "redis"} and options.scored is None:
        parser.error(f"{options.what} needs --scored FILE")
    if options.what in ON_KAFKA and options.bootstrap is None:
        parser.error(f"{options.what} needs --bootstrap HOST:PORT (docker compose up -d kafka)")
    print(describe())
    for what in [options.what] if options.what else BY_DEFAULT:
        MEASURES[what](options)


def _model(options: argparse.Namespace) -> None:
    texts = load_texts(options.texts, options.count)
    model_stage.measure(texts, rounds=options.rounds, device=options.device, shape=options.shape)


def _parity(options: argparse.Namespace) -> None:
    parity.measure(load_texts(options.texts, options.count), device=options.device)


def _batching(options: argparse.Namespace) -> None:
    batching.measure(load_texts(options.texts, 2_000), options.arrivals, options.device)


def _path(options: argparse.Namespace) -> None:
    rates = stream_path.measure(load_texts(options.texts, options.records), rounds=options.rounds)
    print_rates(
        f"around the model (a no-op one), {options.records} records: records a second",
        rates,
        base=next(iter(rates)),
    )


def _floors(options: argparse.Namespace) -> None:
    texts = load_texts(options.texts, FLOOR_RECORDS)
    if below := floors.measure(texts[:FLOOR_TEXTS], texts):
        sys.exit("slower than it was:\n" + "\n".join(below))


def _profile(options: argparse.Namespace) -> None:
    profiled.measure(load_texts(options.texts, 64), options.device)


def _judging(options: argparse.Namespace) -> None:
    print("per CPU-second, one thread")
    for name, rate in judging.measure(options.scored, options.records, options.rules).items():
        print(f"{name:40} {rate:>10,.0f} {1e6 / rate:>10.1f} us")


def _redis(options: argparse.Namespace) -> None:
    redis_load.measure(options.scored, options.records)


def _flood(options: argparse.Namespace) -> None:
    flood.measure(options.rounds)


def _swaps(options: argparse.Namespace) -> None:
    print(f"\n{options.swaps} swaps of the real model under load")
    swaps.measure(load_texts(options.texts, 2_000), options.swaps)


def _rollback(options: argparse.Namespace) -> None:
    print(f"\nrollback under load, {options.rounds} rounds: from the command to the first answer")
    rollback.measure(
        load_texts(options.texts, 2_000), rounds=options.rounds, bootstrap=options.bootstrap
    )


def _beside(options: argparse.Namespace) -> None:
    print("\nlatency of a worker at half its load, and beside a deep fit on the same cores")
    beside.measure(load_texts(options.texts, 2_000), rounds=options.rounds, seconds=options.seconds)


def _start(options: argparse.Namespace) -> None:
    print("\nfrom the start of a process to its first scores")
    for seconds, processor, memory in start.measure(options.rounds):
        print(f"  {seconds:5.1f} s, {processor:5.1f} s of processor time, {memory:5.0f} MiB")


def _end_to_end(options: argparse.Namespace) -> None:
    end_to_end.measure(
        load_texts(options.texts, options.events),
        rounds=options.rounds,
        seconds=options.seconds,
        bootstrap=options.bootstrap,
        ready_made=options.ready_made,
    )


def _latency(options: argparse.Namespace) -> None:
    print(f"\nfrom a record to its alert, {options.rounds} rounds")
    latency.measure(
        load_texts(options.texts, options.events),
        rounds=options.rounds,
        seconds=options.seconds,
        bootstrap=options.bootstrap,
    )


def _workers(options: argparse.Namespace) -> None:
    workers.measure(
        load_texts(options.texts, options.events),
        counts=options.workers,
        seconds=options.seconds,
        bootstrap=options.bootstrap,
        device=options.device,
        no_op=options.no_op,
    )


BY_DEFAULT = ("model", "batching", "path")
ON_KAFKA = ("end-to-end", "latency", "workers", "rollback")
FLOOR_TEXTS = 160
FLOOR_RECORDS = 12_000
MEASURES: dict[str, Callable[[argparse.Namespace], None]] = {
    "model": _model,
    "parity": _parity,
    "batching": _batching,
    "path": _path,
    "floors": _floors,
    "profile": _profile,
    "judging": _judging,
    "redis": _redis,
    "flood": _flood,
    "swaps": _swaps,
    "rollback": _rollback,
    "beside": _beside,
    "start": _start,
    "end-to-end": _end_to_end,
    "latency": _latency,
    "workers": _workers,
}


if __name__ == "__main__":
    main()
