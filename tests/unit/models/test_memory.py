"""Memory that a forward pass leaves free is there for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PASSES = 20
A_PASS = f"""
import models, resource, threading, torch

def work():
    for _ in range({PASSES}):
        blocks = [torch.ones(1 << 20, dtype=torch.uint8) for _ in range(24)]
        del blocks

def faults():
    thread = threading.Thread(target=work)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_passes_do_not_have_their_memory_cleared_again_and_again() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", A_PASS], capture_output=True, text=True, check=True
    )
    pages = (24 << 20) // 4_096
    # The first pass takes them; were they given back, each of the others would take as many.
    assert int(answer.stdout) < 2 * pages
