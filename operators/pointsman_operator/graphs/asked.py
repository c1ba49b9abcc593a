"""Asks hosts and dispatchers how they are, again and again: what they are asked answers at once, and says what it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context

import httpx2

from pointsman_operator.graphs.seen import Answer

SOON_SECONDS, AGAIN_SECONDS = 1.0, 5.0
"""Between two questions to one that is not well, and to one that is. It is said to be silent once two in a row were not
answered: a Service leads to a pod a moment after the pod is there"""
AT_ONCE = 64


class Asked:
    """Asks at every address that is wanted, until it is wanted no more."""

    def __init__(self, *, seconds: float) -> None:
        timeout = httpx2.Timeout(seconds, pool=None)
        self._http = httpx2.AsyncClient(timeout=timeout, trust_env=False)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks = dict[tuple[str, str], asyncio.Task[None]]()
        self._said = dict[tuple[str, str], Answer]()

    def want(self, owner: str, urls: Mapping[str, str], changed: Callable[[], None]) -> dict[str, Answer]:
        """Ask these, by name, for an owner, and nothing else for it; what they said last. `changed` is told of another answer."""
        for key in [key for key in self._tasks if key[0] == owner and key[1] not in urls]:
            self._said.pop(key, None)
            self._tasks.pop(key).cancel()
        for name, url in urls.items():
            if (owner, name) not in self._tasks:
                self._tasks[owner, name] = asyncio.create_task(
                    self._ask_for_ever((owner, name), url, changed), name=f"ask {url}", context=Context()
                )
        return {name: self._said[owner, name] for name in urls if (owner, name) in self._said}

    async def close(self) -> None:
        """Ask nobody any more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._http.aclose()

    async def _ask_for_ever(self, key: tuple[str, str], url: str, changed: Callable[[], None]) -> None:
        misses = 0
        while True:
            async with self._slots:
                said = await self._ask(url)
            misses = misses + 1 if said.cause else 0
            if misses != 1 and said != self._said.get(key):
                self._said[key] = said
                changed()
            await asyncio.sleep(AGAIN_SECONDS if said.status == 200 else SOON_SECONDS)

    async def _ask(self, url: str) -> Answer:
        try:
            answer = await self._http.get(url)
            body = answer.json()
        except httpx2.HTTPError as error:
            return Answer(cause=f"{url} does not answer: {type(error).__name__}")
        except ValueError:
            return Answer(cause=f"{url} answers {answer.status_code}, and not in JSON")
        if not isinstance(body, dict):
            return Answer(cause=f"{url} answers {answer.status_code}, and no object")
        return Answer(status=answer.status_code, body=body)
