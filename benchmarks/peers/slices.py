"""One slice of load on one arm: closed loop by wrk, open loop by a small client that asks at fixed moments."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from arms import HERE, Arm

PATIENCE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What a slice measured. Times in milliseconds, `cpu_us` is the server's CPU for a unit: a prediction or a decision."""

    a_second: float
    p50: float
    p95: float
    p99: float
    cpu_us: float


@dataclass
class Reader:
    """How far each graph has read its events: every event is sent once."""

    offsets: dict[str, int] = field(default_factory=dict)


def closed_loop(arm: Arm, reader: Reader, body: Path, *, connections: int, seconds: float, batch: int = 1) -> Slice:
    """`connections` at once, each asks again as soon as it is answered. Raises SystemExit where any answer is not 2xx."""
    environment = {**os.environ, "BODY": str(body)}
    script = "infer.lua"
    if arm.events is not None:
        script = "decide.lua"
        position = str(reader.offsets.get(arm.name, 0))
        environment |= {"EVENTS": str(arm.events), "OFFSET": position, "BATCH": str(batch), "KEY": arm.key}
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "--timeout",
        "30s",
        "-s",
        str(HERE / script),
        arm.url,
    ]
    used = arm.cpu_seconds()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    used = arm.cpu_seconds() - used
    said = json.loads(done.stdout.strip().splitlines()[-1])
    if said["errors"]:
        raise SystemExit(f"{arm.name}: {said['errors']} of {said['requests']} answers were none: the run is void")
    if arm.events is not None:
        reader.offsets[arm.name] = said["offset"]
    units = said["requests"] * batch
    return Slice(
        a_second=units / said["seconds"],
        p50=said["p50"],
        p95=said["p95"],
        p99=said["p99"],
        cpu_us=used / units * 1e6,
    )


def open_loop(arm: Arm, reader: Reader, *, a_second: float, seconds: float) -> Slice:
    """Single events at fixed moments, whether or not earlier ones are answered; a wait begins when its event is due.

    A connection that the server drops is made anew and the event sent again, as a client would: its wait goes on.
    """
    assert arm.events is not None
    with arm.events.open("rb") as file:
        file.seek(reader.offsets.get(arm.name, 0))
        events = [file.readline() for _ in range(int(a_second * seconds))]
        reader.offsets[arm.name] = file.tell()
    used = arm.cpu_seconds()
    waits = asyncio.run(asked_openly(arm.url, arm.key, events, a_second))
    used = arm.cpu_seconds() - used
    p50, p95, p99 = np.percentile(waits, [50, 95, 99]) * 1000
    return Slice(a_second=a_second, p50=p50, p95=p95, p99=p99, cpu_us=used / len(events) * 1e6)


async def asked_openly(url: str, key: str, events: list[bytes], a_second: float) -> list[float]:
    """Seconds that each event waited, from when it was due. Raises SystemExit where one is not 200, or none comes."""
    address = urlsplit(url)
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    head = f"POST {address.path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer {key}\r\n"
    began = time.perf_counter() + 0.1

    async def one(at: int) -> float:
        due = began + at / a_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        while not await answered(at):
            if time.perf_counter() - due > PATIENCE_SECONDS:
                raise SystemExit(f"{url}: no answer in {PATIENCE_SECONDS} s: the run is void")
            await asyncio.sleep(0.01)
        return time.perf_counter() - due

    async def answered(at: int) -> bool:
        while idle and idle[-1][0].at_eof():  # one that the server has closed meanwhile
            idle.pop()
        try:
            reader, writer = idle.pop() if idle else await asyncio.open_connection(address.hostname, address.port or 80)
            writer.write(f"{head}Content-Length: {len(events[at])}\r\n\r\n".encode() + events[at])
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{url}: {answer[:80]!r}: the run is void")
            await reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        except (OSError, asyncio.IncompleteReadError):
            return False
        idle.append((reader, writer))
        return True

    waits = await asyncio.gather(*(one(at) for at in range(len(events))))
    for _, writer in idle:
        writer.close()
    return waits
