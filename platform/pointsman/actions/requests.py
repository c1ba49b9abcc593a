"""Turns an operation and an action's parameters into a request. Pure; the connector sends what comes out.

A parameter can fill a place in a path but never change the path: what has a meaning there for any server or proxy on
the way (a separator, a dot segment, a second layer of encoding) is refused, and the rest is percent-encoded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from pointsman.api.action_target import ReadBack, Request

_PLACEHOLDER = re.compile(r"\{([a-z][a-zA-Z0-9_]{0,62})\}")
_REFUSED_IN_PATH = re.compile(r"[/\\%\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DOT_SEGMENT = re.compile(r"(^|/)\.{1,2}(/|$)")
LONGEST_PARAMETER = 512


class CannotRender(Exception):
    """A parameter is missing or unusable; the message names the parameter and never its value."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A request as it goes on the wire; `path` is percent-encoded already."""

    method: str
    path: bytes
    body: bytes | None


def render(request: Request, parameters: Mapping[str, Any]) -> Rendered:
    """The request of an operation. Raises CannotRender."""
    body = None
    if request.body is not None:
        body = orjson.dumps({name: _filled(text, parameters) for name, text in request.body.items()})
    return Rendered(method=request.method, path=_path(request.path, parameters), body=body)


def render_read_back(read_back: ReadBack, parameters: Mapping[str, Any]) -> tuple[Rendered, str]:
    """The GET of a read-back, and the text that its field must have. Raises CannotRender."""
    rendered = Rendered(method="GET", path=_path(read_back.path, parameters), body=None)
    return rendered, _filled(read_back.equals, parameters)


def field_text(answer: bytes, field: str) -> str | None:
    """The text of a (nested) member of a JSON answer; None where it is not there or not a plain value."""
    try:
        value = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None
    for member in field.split("."):
        if not isinstance(value, dict) or member not in value:
            return None
        value = value[member]
    return _text(value)


def _path(template: str, parameters: Mapping[str, Any]) -> bytes:
    path = _PLACEHOLDER.sub(lambda found: _segment(found[1], parameters), template)
    if _DOT_SEGMENT.search(path):
        raise CannotRender("the parameters would turn a part of the path into a dot segment")
    return path.encode("ascii")


def _segment(name: str, parameters: Mapping[str, Any]) -> str:
    text = _value(name, parameters)
    if not text or len(text) > LONGEST_PARAMETER:
        raise CannotRender(f'parameter: is empty or longer than {LONGEST_PARAMETER} characters: "{name}"')
    if _REFUSED_IN_PATH.search(text):
        raise CannotRender(f'parameter: has a character that could change the path: "{name}"')
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise CannotRender(f'parameter: is not Unicode text: "{name}"') from None


def _filled(template: str, parameters: Mapping[str, Any]) -> str:
    return _PLACEHOLDER.sub(lambda found: _value(found[1], parameters), template)


def _value(name: str, parameters: Mapping[str, Any]) -> str:
    text = _text(parameters.get(name))
    if text is None:
        raise CannotRender(f'parameter: has no plain value: "{name}"')
    return text


def _text(value: object) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case _:
            return None
