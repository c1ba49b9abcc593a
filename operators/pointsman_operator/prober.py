"""Asks a revision for one inference before traffic goes to it: pods that are ready have only said so themselves.

The request is made of what the model says it takes, all zeros, one row. Whoever answers it with finite numbers works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import httpx2

from pointsman.models.probe_answer import HEADER_LENGTH, is_usable
from pointsman_operator.seen import Probe

AGAIN_SECONDS = 2.0
"""Between two questions to a revision that has not answered. It is said to fail once two in a row were not answered: a Service
leads to a pod a moment after the pod is ready."""
AT_ONCE = 64
"""Revisions that are asked at the same time; an operator that starts anew asks all there are"""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is asked: the root of the server's address, and the model's name there."""

    address: str
    model: str


class Prober:
    """Asks all revisions that wait for it. `changed` is told of the one that asked, when the answer is another."""

    def __init__(self, *, seconds: float) -> None:
        timeout = httpx2.Timeout(
            seconds, pool=None
        )  # its turn is waited for without an end: that says nothing of a model
        self._http = httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=False)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks = dict[tuple[str, str], asyncio.Task[None]]()
        self._said = dict[tuple[str, str], Probe]()

    def want(self, owner: str, targets: Mapping[str, Target], changed: Callable[[], None]) -> dict[str, Probe]:
        """Ask these, by name, for an owner, and nothing else for it; what they said last. One that answered is asked no more.

        One that is not wanted any more is forgotten: when it comes back it is asked anew.
        """
        for key in [key for key in {*self._tasks, *self._said} if key[0] == owner and key[1] not in targets]:
            self._said.pop(key, None)
            if (task := self._tasks.pop(key, None)) is not None:
                task.cancel()
        for name, target in targets.items():
            key = (owner, name)
            if key not in self._tasks and not (key in self._said and self._said[key].answered):
                self._tasks[key] = asyncio.create_task(self._ask_until_it_answers(key, target, changed))
        return {name: self._said[owner, name] for name in targets if (owner, name) in self._said}

    async def close(self) -> None:
        """Ask nobody any more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._http.aclose()

    async def _ask_until_it_answers(self, key: tuple[str, str], target: Target, changed: Callable[[], None]) -> None:
        misses = 0
        while True:
            async with self._slots:
                said = await self._ask(target)
            misses = 0 if said.answered else misses + 1
            if misses != 1 and said != self._said.get(key):
                self._said[key] = said
                changed()
            if said.answered:
                del self._tasks[key]
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _ask(self, target: Target) -> Probe:
        model = f"{target.address}/v2/models/{target.model}"
        try:
            described = await self._http.get(model)
            if described.status_code != 200:
                return _not(f"{model} answers {described.status_code}")
            answer = await self._http.post(f"{model}/infer", json={"inputs": _zeros(described.json()["inputs"])})
        except httpx2.HTTPError as error:
            return _not(f"{model} does not answer: {type(error).__name__}")
        except (ValueError, KeyError, TypeError):
            return _not(f"{model} does not say what it takes")
        if answer.status_code != 200:
            return _not(f"{model}/infer answers {answer.status_code}: {answer.text[:200]}")
        if not is_usable(answer.content, answer.headers.get(HEADER_LENGTH)):
            return _not(f"{model}/infer answers no finite numbers")
        return Probe(answered=True)


def _not(cause: str) -> Probe:
    return Probe(answered=False, cause=" ".join(cause.split()))


def _zeros(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row of nothing for each input, as Open Inference Protocol's JSON."""
    found = []
    for each in inputs:
        shape = [1 if size < 0 else size for size in each["shape"]]
        filler: object = "" if each["datatype"] == "BYTES" else False if each["datatype"] == "BOOL" else 0
        data = [filler] * prod(shape)
        found.append({"name": each["name"], "datatype": each["datatype"], "shape": shape, "data": data})
    return found
