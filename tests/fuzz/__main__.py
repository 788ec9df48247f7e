"""python -m tests.fuzz: so many inputs for every parser, counted; the first failure ends it."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import targets

# Reading a file or compiling a rule costs a hundred times what decoding a record does.
SHARES = {"rules": 0.02, "settings": 0.02, "checkpoint descriptions": 0.05}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--inputs", type=int, default=1_000_000, help="of all parsers together")
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments.add_argument("--only", help="one parser")
    chosen = arguments.parse_args()
    print(f"seed {chosen.seed}")
    with tempfile.TemporaryDirectory(prefix="bellwether-fuzz-") as folder:
        all_targets = targets(Path(folder))
        if chosen.only:
            all_targets = {chosen.only: all_targets[chosen.only]}
        shares = {name: SHARES.get(name, 1.0) for name in all_targets}
        total = 0
        for name, target in all_targets.items():
            count = max(1, round(chosen.inputs * shares[name] / sum(shares.values())))
            mutator = Mutator(target.seeds, chosen.seed)
            begun = time.perf_counter()
            for done in range(count):
                payload = mutator.draw()
                try:
                    target.check(payload)
                except BaseException:
                    print(f"{name}: input {done} of seed {chosen.seed} fails:\n{payload!r}")
                    raise
            elapsed = time.perf_counter() - begun
            total += count
            print(f"{name:24} {count:>10,} inputs {count / elapsed:>10,.0f} a second")
    print(f"{'all':24} {total:>10,} inputs, no failure")


if __name__ == "__main__":
    sys.exit(main())
