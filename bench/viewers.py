"""Many open pages on one console: its memory, its CPU time, and how old an update is on arrival.

Not part of `python -m bench`: it needs redis-server and minutes.
`python -m bench.viewers [--viewers 50] [--alerts 1000] [--rate 200] [--minutes 2]`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import aiohttp
import msgspec

from bench.first_page import fill, filled, free_port, settings_for, wait_until_alive
from bench.machine import cpu_s, describe, memory_mib, quantiles
from stream.alerts.store import AlertStore
from stream.connections.clients import redis_client
from stream.demo.embedded import EmbeddedRedis
from stream.names import Keys
from stream.records import utc_now

UPDATES_A_SECOND = 10
"""So often a part of a second's updates is written, as workers write micro-batches."""
SETTLE_S = 3.0
SAMPLE_S = 15.0
ALERT = b"event: alert\n"


class _Row(msgspec.Struct):
    last_seen: datetime


_decode = msgspec.json.Decoder(_Row).decode


class Console:
    """The process of a console, as the kernel sees it."""

    def __init__(self, redis_url: str) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [str(Path(sys.executable).with_name("bellwether")), "console"],
            env=os.environ
            | {
                "BELLWETHER_REDIS__URL": redis_url,
                "BELLWETHER_CONSOLE__LISTEN": f"127.0.0.1:{port}",
                # Nobody listens there: alerts are Redis' alone.
                "BELLWETHER_KAFKA__BOOTSTRAP": f"127.0.0.1:{free_port()}",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_alive(self.address)

    def memory_mib(self) -> float:
        return memory_mib(self._process.pid)

    def cpu_s(self) -> float:
        return cpu_s(self._process.pid)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()


class Arrivals:
    """Ages in seconds of the updates that reached pages, and what else they were told."""

    def __init__(self) -> None:
        self.pages = 0
        self.ages: list[float] = []
        self.reloads = 0
        self.bytes = 0

    def take(self, block: bytes) -> None:
        self.bytes += len(block)
        now = utc_now().timestamp()
        for event in block.split(b"\n\n"):
            if event.startswith(ALERT):
                row = _decode(event.partition(b"data: ")[2])
                self.ages.append(now - row.last_seen.timestamp())
            elif event.startswith(b"event: reload"):
                self.reloads += 1


async def view(session: aiohttp.ClientSession, address: str, arrivals: Arrivals) -> None:
    """One page: the list, then its updates until cancelled."""
    async with session.get(f"{address}/api/v1/alerts") as answer:
        await answer.read()
    async with session.get(f"{address}/live") as stream:
        arrivals.pages += 1
        async for block in whole_events(stream.content):
            arrivals.take(block)


async def whole_events(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in content.iter_any():
        block, mark, rest = (rest + chunk).rpartition(b"\n\n")
        if mark:
            yield block


async def update(store: AlertStore, alerts: int, rate: int, until: float) -> int:
    """The open alerts grow in turn, each event's time being when it was written; says how many."""
    loop = asyncio.get_running_loop()
    begun, sent = loop.time(), 0
    while (now := loop.time()) < until:
        due = int((now - begun) * rate) - sent
        matches = [filled(at % alerts, f"u-{at}", utc_now()) for at in range(sent, sent + due)]
        if matches:
            await store.raise_alerts(matches)
            sent += due
        await asyncio.sleep(1 / UPDATES_A_SECOND)
    return sent


async def measure(redis_url: str, *, viewers: int, alerts: int, rate: int, minutes: float) -> None:
    settings = settings_for(redis_url)
    await fill(settings, alerts)
    redis = redis_client(settings.redis)
    store = AlertStore(redis, Keys(settings.redis.prefix), settings.alerting)
    console = Console(redis_url)
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    try:
        alone = console.memory_mib()
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            pages = [
                asyncio.create_task(view(session, console.address, arrivals))
                for _ in range(viewers)
            ]
            opening, cpu = time.monotonic(), console.cpu_s()
            while arrivals.pages < viewers and not any(page.done() for page in pages):
                await asyncio.sleep(0.05)
            opened, opened_cpu = time.monotonic() - opening, console.cpu_s() - cpu
            await asyncio.sleep(SETTLE_S)
            idle = console.memory_mib()
            begun, cpu, own = time.monotonic(), console.cpu_s(), time.process_time()
            sending = asyncio.create_task(update(store, alerts, rate, loop.time() + minutes * 60))
            memory = []
            while not sending.done():
                await asyncio.wait({sending}, timeout=SAMPLE_S)
                memory.append(console.memory_mib())
            sent = sending.result()
            took, cpu = time.monotonic() - begun, console.cpu_s() - cpu
            own = time.process_time() - own
            await asyncio.sleep(1)
            failed = [page.exception() for page in pages if page.done()]
            for page in pages:
                page.cancel()
            await asyncio.gather(*pages, return_exceptions=True)
    finally:
        console.end()
        await redis.aclose()
    print(
        f"\n{viewers} pages, {alerts} open alerts, {sent / took:.0f} updates a second, {took:.0f} s"
    )
    print(f"  all pages opened in      {opened:.1f} s, {opened_cpu:.1f} s of it CPU of the console")
    print(f"  pages that ended         {len(failed)} {failed[:1] if failed else ''}")
    print(
        f"  delivered                {len(arrivals.ages) / (sent * viewers):.4f} of updates x pages"
    )
    print(f"  told to load again       {arrivals.reloads}")
    print(f"  from update to delivery  {quantiles(arrivals.ages, 's', digits=2)}")
    print(f"  sent                     {arrivals.bytes / took / 1e6:.1f} MB a second")
    print(f"  CPU of the console       {cpu / took:.2f} cores ({own / took:.2f} of this program)")
    print(f"  memory of the console    {alone:.0f} MiB alone, {idle:.0f} MiB with its pages, then")
    print(f"    every {SAMPLE_S:.0f} s             {' '.join(f'{one:.0f}' for one in memory)} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.viewers", description=__doc__)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--alerts", type=int, default=1_000)
    parser.add_argument("--rate", type=int, default=200, help="updates a second")
    parser.add_argument("--minutes", type=float, default=2.0)
    options = parser.parse_args()
    if shutil.which("redis-server") is None or not Path("/proc/self/status").exists():
        parser.error("needs redis-server on the PATH, and Linux' /proc")
    print(describe())
    with EmbeddedRedis() as redis:
        asyncio.run(
            measure(
                redis.url,
                viewers=options.viewers,
                alerts=options.alerts,
                rate=options.rate,
                minutes=options.minutes,
            )
        )


if __name__ == "__main__":
    main()
