"""Ready-made peers in an environment of their own, in front of ours: made when first asked for."""

from __future__ import annotations

import subprocess
import sysconfig
import venv
from pathlib import Path

_TOP = Path(__file__).parents[2]
LOCK = _TOP / "requirements" / "peers.txt"
FOLDER = _TOP / "out" / "peers"


def interpreter() -> Path:
    """The Python that has the peers. Torch, and all else that they lack, comes from ours."""
    python = FOLDER / "bin" / "python"
    ready = FOLDER / ".ready"
    if ready.exists() and ready.read_text() == LOCK.read_text():
        return python
    venv.create(FOLDER, clear=True, with_pip=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", LOCK], check=True)
    # Read after the environment's own folder, so the peers get the versions that they ask for.
    own = sysconfig.get_path("purelib", vars={"base": str(FOLDER)})
    (Path(own) / "ours.pth").write_text(sysconfig.get_path("purelib"))
    ready.write_text(LOCK.read_text())
    return python
