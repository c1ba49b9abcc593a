"""The native server as a process: it serves what was pinned or nothing, and finishes what it has begun."""

from __future__ import annotations

import json
import os
import socket

import pytest

pytestmark = pytest.mark.slow


def test_a_changed_file_is_refused_and_the_process_ends(start, lookup_folder):
    with (lookup_folder.folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    server = start(lookup_folder)
    record = server.logged("the model cannot be served")
    assert "not the files that were pinned" in record["error"]
    assert server.process.wait(30) == 1


def test_a_folder_with_a_link_is_refused_and_the_process_ends(start, lookup_folder):
    os.symlink("/etc/hostname", lookup_folder.folder / "notes")
    server = start(lookup_folder)
    assert "a link" in server.logged("the model cannot be served")["error"]
    assert server.process.wait(30) == 1


def test_a_model_that_does_not_answer_its_example_ends_the_process_before_it_is_ready(start, broken_folder):
    server = start(broken_folder)
    assert "not finite" in server.logged("the model cannot be served")["error"]
    assert server.process.wait(30) == 1
    assert not any(json.loads(line)["event"] == "ready" for line in server.lines)


def test_a_port_that_is_taken_is_said(start, lookup_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = start(lookup_folder, "--http-port", str(taken.getsockname()[1]))
        assert "in use" in server.logged("the model cannot be served")["error"]
        assert server.process.wait(30) == 1


def test_what_is_in_flight_is_answered_before_the_process_ends(start, scorer_folder):
    server = start(scorer_folder)
    server.logged("ready")
    tensors = [{"name": name, "datatype": "FP32", "shape": [1, 1], "data": [1.0]} for name in ("amount", "count")]
    text = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["t"]}
    body = json.dumps({"inputs": [*tensors, text]}).encode()
    host, port = server.http.split(":")
    head = "POST /v2/models/scorer/infer HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: "
    with socket.create_connection((host, int(port)), timeout=30) as begun, begun.makefile("rb") as answer:
        begun.sendall(f"{head}{len(body)}\r\n\r\n".encode())
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert answer.readline() == b"\r\n"
        server.process.terminate()
        server.logged("stopping")
        begun.sendall(body)
        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
        assert b'"probability"' in answer.read()
    assert server.process.wait(30) == 0


def test_every_line_of_the_log_is_json_whatever_is_asked(start, scorer_folder):
    server = start(scorer_folder)
    host, port = server.http.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as rude, rude.makefile("rb") as answer:
        rude.sendall(b"GARBAGE\r\n\r\n")
        assert b"400" in answer.readline()
    assert server.end() == 0
    assert [json.loads(line)["level"] for line in server.lines]
