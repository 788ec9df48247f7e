"""`python -m bench [model|path] [--texts FILE]`: run the measurements and print ratios."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import model_stage, stream_path
from bench.texts import load_texts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["model", "path"], help="default: both")
    parser.add_argument("--texts", type=Path, help="JSON lines with a text field")
    parser.add_argument("--count", type=int, default=1_024, help="texts of the model measurement")
    parser.add_argument("--records", type=int, default=40_000, help="of the path measurement")
    options = parser.parse_args()
    if options.what in (None, "model"):
        report(
            f"model stage, {options.count} texts, texts a second",
            model_stage.measure(load_texts(options.texts, options.count)),
        )
    if options.what in (None, "path"):
        report(
            f"around the model (a no-op one), {options.records} records, records a second",
            stream_path.measure(load_texts(options.texts, options.records)),
        )


def report(title: str, rates: dict[str, float]) -> None:
    base = next(iter(rates.values()))
    print(f"\n{title}")
    for name, rate in rates.items():
        print(f"  {name:44} {rate:10,.0f}   {rate / base:6.2f} x the first")


if __name__ == "__main__":
    main()
