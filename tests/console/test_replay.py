"""A dead letter is sent again to a graph whose host, as in a pod, told the store where it is reached."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from pointsman.library import GraphLibrary

pytestmark = pytest.mark.slow

EVENT = {
    "transaction_id": "t-1",
    "occurred_at": "2026-03-02T10:00:00Z",
    "card_id": "card-1",
    "terminal_id": "terminal-1",
    "card_account": "account-1",
}


@pytest.fixture
def host(library: GraphLibrary, database_url: str, tmp_path: Path) -> Iterator[str]:
    """The example's graph in a process, with the settings of a pod; where it is reached."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    resolved = library.graph.resolved
    config, url = tmp_path / "host.json", f"http://127.0.0.1:{port}/v1/graphs/{resolved.graph.name}"
    config.write_text(f'{{"resolved": {resolved.to_json().decode()}, "host": "127.0.0.1", "port": {port}}}')
    environment = os.environ | {
        "POINTSMAN_STORE_URL": database_url,
        "POINTSMAN_CONTROL_TOKEN": "x" * 32,
        "POINTSMAN_ADDRESS": url,
    }
    log = tmp_path / "host.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "pointsman_serving.embedded", "--config", str(config)]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        with httpx2.Client(trust_env=False, transport=httpx2.HTTPTransport(retries=20)) as client:
            while client.get(f"{url}/-/ready").status_code != 200:
                assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.terminate()
        process.wait(30)


def test_a_dead_letter_is_corrected_and_decided(host: str, call, key_of) -> None:
    sent = {"authorization": f"Bearer {key_of()}"}
    broken = httpx2.post(f"{host}/decisions", json=[EVENT | {"amount": "a lot"}], headers=sent, trust_env=False)
    assert broken.json()["answers"][0]["reason"] == "WrongType"
    (letter,) = call("GET", "/v1/deadletters?graph=card-fraud").json()["items"]

    while (as_it_was := call("POST", f"/v1/deadletters/{letter['id']}/replay", json={})).status_code == 401:
        pass  # the host reads keys every two seconds
    corrected = call("POST", f"/v1/deadletters/{letter['id']}/replay", json={"event": EVENT | {"amount": "12.50"}})

    assert (as_it_was.status_code, "WrongType" in as_it_was.json()["error"]) == (422, True)
    assert (corrected.status_code, corrected.json()["state"]) == (200, "replayed"), corrected.text
    assert corrected.json()["answer"]["outcome"] == "approve"
    assert call("GET", "/v1/decisions/t-1").json()["decision"]["outcome"] == "approve"
    assert call("GET", f"/v1/deadletters/{letter['id']}").json()["state"] == "replayed"
