"""A certificate authority of a test's own, with a server's and a client's certificate."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.server_process import MissingComponentError, ServerError


class Certificates(NamedTuple):
    """PEM files. The server's certificate is good for 127.0.0.1; server_chain has its key too."""

    ca: Path
    server_cert: Path
    server_key: Path
    server_chain: Path
    client_cert: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    """Raises MissingComponentError without openssl, ServerError when it fails."""
    if not shutil.which("openssl"):
        raise MissingComponentError("needs openssl on the PATH: install it (Debian: openssl)")
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    _openssl("req", "-x509", *key, "-keyout", ca_key, "-out", ca, "-subj", "/CN=Bellwether test CA")
    for name in ("server", "client"):
        request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
        _openssl(
            *("req", *key, "-keyout", folder / f"{name}.key", "-out", request),
            *("-subj", f"/CN={name}"),
        )
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        _openssl(
            *("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial"),
            *("-days", "2", "-extfile", extensions, "-out", folder / f"{name}.pem"),
        )
    chain = folder / "server-chain.pem"
    chain.write_text((folder / "server.key").read_text() + (folder / "server.pem").read_text())
    return Certificates(
        ca=ca,
        server_cert=folder / "server.pem",
        server_key=folder / "server.key",
        server_chain=chain,
        client_cert=folder / "client.pem",
        client_key=folder / "client.key",
    )


def _openssl(*arguments: str | Path) -> None:
    command = ["openssl", *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise ServerError(f"{' '.join(command)} failed:\n{run.stderr}")
