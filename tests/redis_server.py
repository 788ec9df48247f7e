"""A real redis-server for tests, on a free port with its data in a folder of the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.certificates import Certificates
from tests.server_process import MissingComponentError, ServerProcess, free_ports

START_DEADLINE_S = 15.0


@contextmanager
def redis_server(folder: Path, *, durable: bool = False) -> Iterator[RedisServer]:
    """A started server; durable keeps every write over kill() and start() (appendfsync always).

    Raises MissingComponentError without redis-server, ServerError when it does not come up.
    """
    server = RedisServer(folder, durable=durable)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class RedisServer(ServerProcess):
    """One server; after kill() or stop(), start() brings it back on the same port."""

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool = False,
        certificates: Certificates | None = None,
        acl: Sequence[str] = (),
    ) -> None:
        """With certificates it also listens at tls_url; acl are lines of Redis's ACL file."""
        program = shutil.which("redis-server")
        if not program:
            raise MissingComponentError(
                "needs redis-server on the PATH: install it (Debian: redis-server, Homebrew: redis)"
            )
        port, tls_port = free_ports(2)
        self.url = f"redis://127.0.0.1:{port}/0"
        self.tls_url = f"rediss://127.0.0.1:{tls_port}/0"
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if durable else []
        if certificates:
            files = (certificates.ca, certificates.server_cert, certificates.server_key)
            for name, file in zip(("ca-cert", "cert", "key"), files, strict=True):
                keep += [f"--tls-{name}-file", str(file)]
            keep += ["--tls-port", str(tls_port), "--tls-auth-clients", "no"]
        if acl:
            listing = folder / "users.acl"
            listing.write_text("\n".join(acl) + "\n")
            keep += ["--aclfile", str(listing)]
        place = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
        super().__init__(
            [program, *place, *keep, "--loglevel", "warning"],
            log=folder / "redis.log",
            start_deadline_s=START_DEADLINE_S,
        )

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                return True
            except redis.RedisError:
                return False
