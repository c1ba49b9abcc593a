"""Revisions are asked for an inference before traffic goes to them, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pointsman_operator.prober import Prober, Target
from pointsman_operator.seen import Probe


@asynccontextmanager
async def models(seconds: float) -> AsyncIterator[str]:
    """A server of all models, which takes its time for every answer."""
    described = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}'
    inferred = b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [0.5]}]}'

    under_way = set[asyncio.Task[Any]]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
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
