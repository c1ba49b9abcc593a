"""Locust users who ask a graph for decisions: single events with a deadline, small batches, repeats, broken events.

Against a running `pointsman up` with the fraud example applied (`pip install 'pointsman[bench]'`); the host's address is what
`pointsman get pdg card-fraud -o json` shows as `status.address`, without its path:

    locust -f benchmarks/locustfile.py --headless --users 20 --spawn-rate 10 --run-time 60s --host http://127.0.0.1:PORT

POINTSMAN_API_KEY  a bearer token, where the way to the graph asks for one
POINTSMAN_GRAPH    the graph, `card-fraud` unless set

Locust ends with 1 where any answer was wrong: a repeat that is answered otherwise than at first, or a broken event that is
not refused with 422. What is sent is decided, and stays: its times are the present, so that the demo's stream (of early 2026)
comes too late for the features afterwards. Use a home of its own, or one whose stream is through.
"""

from __future__ import annotations

import os
import random
import uuid
from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import orjson
from locust import FastHttpUser, between, task

from pointsman.demo.generator import GeneratorSettings, generate
from pointsman.demo.transactions import as_json_lines

GRAPH = os.environ.get("POINTSMAN_GRAPH", "card-fraud")
PATH = f"/v1/graphs/{GRAPH}/decisions"
BATCH, REMEMBERED = 20, 200
SAME = ("decision", "outcome", "band", "score", "reasons", "seq", "revision")
"""What an answer to a repeated event must say as the first one did."""

_TRANSACTIONS = generate(GeneratorSettings(customers=500, terminals=500, days=3))
_GOOD = cycle([orjson.loads(line) for line in as_json_lines(_TRANSACTIONS, _TRANSACTIONS.accepted())])
_PREFIX = uuid.uuid4().hex[:8]


def new_event() -> dict[str, Any]:
    """A generated transaction that happens now, with an id that was never sent."""
    now = datetime.now(UTC)
    return {
        **next(_GOOD),
        "transaction_id": f"{_PREFIX}-{uuid.uuid4().hex[:20]}",
        "occurred_at": (now - timedelta(seconds=1)).isoformat(),
        "known_at": now.isoformat(),
    }


def broken_event() -> dict[str, Any]:
    """A transaction with one thing wrong."""
    wrong = random.choice(
        [
            {"amount": "12.345"},
            {"amount": "-1.00"},
            {"card_id": 17},
            {"occurred_at": "yesterday"},
            {"terminal_id": None},
        ]
    )
    return {**new_event(), **wrong}


class Caller(FastHttpUser):
    """A service that asks about one purchase at a time, and at times about several."""

    wait_time = between(0.01, 0.1)

    def on_start(self) -> None:
        key = os.environ.get("POINTSMAN_API_KEY")
        self.authorised = {"Authorization": f"Bearer {key}"} if key else {}
        self.answered: deque[tuple[dict[str, Any], dict[str, Any]]] = deque(maxlen=REMEMBERED)

    @task(80)
    def one(self) -> None:
        """A synchronous decision."""
        event = new_event()
        with self._post("one event", event) as response:
            answer = _json(response)
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text}")
            elif answer.get("id") != event["transaction_id"] or "outcome" not in answer:
                response.failure(f"not the answer to this event: {answer}")
            else:
                self.answered.append((event, answer))

    @task(10)
    def several(self) -> None:
        """A small batch: its answers are in its order."""
        events = [new_event() for _ in range(BATCH)]
        with self._post(f"{BATCH} events", {"events": events}) as response:
            answers = _json(response).get("answers", [])
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text}")
            elif [each.get("id") for each in answers] != [each["transaction_id"] for each in events]:
                response.failure("the answers are not those of the events, in their order")

    @task(5)
    def again(self) -> None:
        """An event that was answered before gets the same answer, and is called a duplicate."""
        if not self.answered:
            return
        event, first = random.choice(self.answered)
        with self._post("repeated event", event) as response:
            answer = _json(response)
            differing = [name for name in SAME if answer.get(name) != first.get(name)]
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text}")
            elif differing or answer.get("duplicate") is not True:
                response.failure(f"a repeat was answered otherwise: {differing or 'not called a duplicate'}")

    @task(5)
    def broken(self) -> None:
        """A broken event is refused, and the answer says where it is wrong."""
        with self._post("broken event", broken_event()) as response:
            answer = _json(response)
            if response.status_code != 422:
                response.failure(f"{response.status_code} where 422 was due: {response.text}")
            elif not answer.get("place") or not answer.get("deadLetter"):
                response.failure(f"the refusal does not say where: {answer}")
            else:
                response.success()

    def _post(self, name: str, body: object) -> Any:
        return self.client.post(
            PATH,
            data=orjson.dumps(body),
            headers={"Content-Type": "application/json", **self.authorised},
            name=name,
            catch_response=True,
        )


def _json(response: Any) -> dict[str, Any]:
    """The answer's object, empty where it is none: a connection that was refused has no text."""
    try:
        answer = orjson.loads(response.text or "")
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
