"""The command line of what serves one pinned model beside Native: the same options whatever runs it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from pointsman_serving.native.model import NAME, VERSION


def parser(program: str, description: str | None, *, grpc: bool = True) -> argparse.ArgumentParser:
    """The options that every starter has; Native has the same. `grpc`: whether the runtime speaks the protocol over gRPC too."""
    found = argparse.ArgumentParser(prog=program, description=description)
    found.add_argument("--model-dir", type=Path, required=True, help="the pinned model's folder")
    found.add_argument("--digest", required=True, help="what the folder's digest must be")
    found.add_argument("--name", type=_matching(NAME), required=True, help="the model's name in the protocol")
    found.add_argument("--version", type=_matching(VERSION), default="1", help="the model's version  [default: 1]")
    found.add_argument("--host", default="127.0.0.1", help="where to listen  [default: 127.0.0.1]")
    found.add_argument("--http-port", type=number(1, 65535), required=True, help="Open Inference Protocol over HTTP")
    if grpc:
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


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{text!a} does not match {pattern.pattern}")
        return text

    return parse
