"""Revisions are asked for an inference before traffic goes to them, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from pointsman_operator import prober as probing
from pointsman_operator.prober import Prober, Target
from pointsman_operator.seen import Probe


@asynccontextmanager
async def models(seconds: float = 0.0, *, hangs_up: int = 0) -> AsyncIterator[str]:
    """A server of all models, which takes its time for every answer, and hangs up on so many connections before the first."""
    described = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}'
    inferred = b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [0.5]}]}'

    under_way = set[asyncio.Task[Any]]()
    connections = count()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        if next(connections) < hangs_up:
            writer.close()
            return
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in asked.lower().split(b"\r\n") if b"content-length" in line), 0)
                await reader.readexactly(length)
                await asyncio.sleep(seconds)
                body = inferred if asked.startswith(b"POST") else described
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*under_way)


def test_a_revision_that_waits_for_its_turn_to_be_asked_is_not_taken_to_fail() -> None:
    async def asked() -> list[Probe]:
        said = list[Probe]()
        all_said = asyncio.Event()
        names = [f"model-{number}" for number in range(300)]
        prober = Prober(seconds=0.4)
        async with models(seconds=0.1) as address:
            targets = {name: Target(address=address, model=name) for name in names}

            def changed() -> None:
                said[:] = prober.want("all", targets, changed).values()
                if len(said) == len(names):
                    all_said.set()

            prober.want("all", targets, changed)
            await all_said.wait()
            await prober.close()
        return said

    assert set(asyncio.run(asked())) == {Probe(answered=True)}


@pytest.mark.parametrize(("hangs_up", "said"), [(1, [True]), (3, [False, True])])
def test_one_miss_says_nothing_of_a_revision_and_two_do(
    monkeypatch: pytest.MonkeyPatch, hangs_up: int, said: list[bool]
) -> None:
    monkeypatch.setattr(probing, "AGAIN_SECONDS", 0.01)

    async def asked() -> list[bool]:
        heard, answered = list[bool](), asyncio.Event()
        prober = Prober(seconds=5.0)
        async with models(hangs_up=hangs_up) as address:
            targets = {"fraud": Target(address=address, model="fraud")}

            def changed() -> None:
                heard.append(prober.want("all", targets, changed)["fraud"].answered)
                if heard[-1]:
                    answered.set()

            prober.want("all", targets, changed)
            await answered.wait()
            await prober.close()
        return heard

    assert asyncio.run(asked()) == said
