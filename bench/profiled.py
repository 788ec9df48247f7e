"""Where a forward pass spends its time, padded and packed, by torch's profiler."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.profiler import ProfilerActivity, profile

from models.encoder import load_encoder
from models.forward_paths import ForwardPath, build
from models.packed import multiplies_bf16

RUNS = 3
ROWS = 10


def measure(texts: Sequence[str], device: str) -> None:
    """Print the costliest operators of each path: share of the time, milliseconds, calls a pass."""
    encoder = load_encoder().to(device)
    tokens = sorted(encoder.tokenize(texts), key=len)
    batches = {True: [tokens], False: [tokens[at : at + 16] for at in range(0, len(tokens), 16)]}
    for precision in ("fp32", "bf16") if device == "cuda" or multiplies_bf16() else ("fp32",):
        for packed in (False, True):
            path = ForwardPath(precision, packed)
            pool = build(encoder, path)
            activities = [ProfilerActivity.CPU]
            if device == "cuda":
                activities.append(ProfilerActivity.CUDA)
            with torch.inference_mode():
                for batch in batches[packed]:
                    pool(batch)
                with profile(activities=activities) as found:
                    for _ in range(RUNS):
                        for batch in batches[packed]:
                            pool(batch)
            events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
            total = sum(event.self_cpu_time_total for event in events)
            print(f"\n{path}, {len(texts)} texts, {sum(map(len, tokens))} tokens:", end=" ")
            print(f"{total / RUNS / 1e3:.0f} ms")
            for event in events[:ROWS]:
                share = event.self_cpu_time_total / total
                each_ms = event.self_cpu_time_total / RUNS / 1e3
                print(f"  {event.key:44} {share:6.1%} {each_ms:8.1f} ms {event.count // RUNS:6}")
