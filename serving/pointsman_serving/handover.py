"""What our side does before another runtime takes over the process: check the pinned model, write down its example.

Used by the starters of Triton and of KServe. The model has answered its example here, in ONNX Runtime, before the runtime
sees it: what Native refuses, they refuse in the same words.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from errno import EEXIST
from pathlib import Path

import orjson

from pointsman.local.example_probe import EXAMPLE
from pointsman.models.artifact import ModelArtifact, open_artifact
from pointsman.models.session import OnnxSession
from pointsman_serving.native.model import NAME, VERSION
from pointsman_serving.oip.codec import encode_request


def parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """The options that every starter has; Native has the same."""
    found = argparse.ArgumentParser(prog=program, description=description)
    found.add_argument("--model-dir", type=Path, required=True, help="the pinned model's folder")
    found.add_argument("--digest", required=True, help="what the folder's digest must be")
    found.add_argument("--name", type=_matching(NAME), required=True, help="the model's name in the protocol")
    found.add_argument("--version", type=_matching(VERSION), default="1", help="the model's version  [default: 1]")
    found.add_argument("--host", default="127.0.0.1", help="where to listen  [default: 127.0.0.1]")
    found.add_argument("--http-port", type=number(1, 65535), required=True, help="Open Inference Protocol over HTTP")
    found.add_argument("--grpc-port", type=number(1, 65535), required=True, help="the same over gRPC")
    found.add_argument("--folder", type=Path, required=True, help="a folder for the server's files; it is made anew")
    return found


def number(least: int, most: int) -> Callable[[str], int]:
    """An argument's type: a whole number between two others."""

    def parse(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not {least} to {most}")
        return value

    parse.__name__ = "whole number"
    return parse


def checked(folder: Path, digest: str) -> ModelArtifact:
    """Open the model and have it answer its example. Raises ArtifactRefused or ProbeFailed."""
    artifact = open_artifact(folder, expected_digest=digest)
    OnnxSession(artifact).probe()
    return artifact


def example(artifact: ModelArtifact) -> bytes:
    """The file by which a supervisor asks whether the model answers: its example's first row, as a request's bytes."""
    rows = {each.name: each.shape[:1] == (-1,) for each in artifact.inputs}
    body, length = encode_request({name: each[:1] if rows[name] else each for name, each in artifact.example.items()})
    return orjson.dumps({"length": length, "body": base64.b64encode(body).decode()})


def lay_out(folder: Path, artifact: ModelArtifact, files: Mapping[str, bytes]) -> Path:
    """Make the folder anew with these files and the example, for its owner alone; its absolute path."""
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = [each for each in folder.iterdir() if each.name != EXAMPLE]
    if before and not (folder / EXAMPLE).is_file():
        raise FileExistsError(EEXIST, "it holds something else, choose another --folder", str(folder))
    (folder / EXAMPLE).write_bytes(example(artifact))  # the mark of a folder of ours: there first, and never taken away
    for each in before:
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def become(command: Sequence[str | os.PathLike[str]], environment: Mapping[str, str]) -> int:
    """Go on as another program, in this process; there is no coming back. Raises OSError where it cannot be started."""
    os.execve(command[0], [os.fspath(each) for each in command], {**environment})


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{text!a} does not match {pattern.pattern}")
        return text

    return parse
