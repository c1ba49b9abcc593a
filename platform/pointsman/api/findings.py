"""Validation errors in a user's words: what is wrong, at which path, and the nearest name that would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pointsman.api import values

_SHOWN = 80

_PATTERNS = {
    values.OBJECT_NAME_PATTERN: "lower-case letters, digits and dashes, at most 63, beginning and ending with no dash",
    values.IDENTIFIER_PATTERN: "lower-case letters, digits and underscores, at most 63, beginning with a letter",
    values.REASON_PATTERN: "letters and digits in CamelCase, at most 63",
    values.REFERENCE_PATTERN: "node.output or event.field",
    values.DIGEST_PATTERN: "sha256: and 64 hexadecimal digits",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong in a document; `path` in YAML names and list positions."""

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A hint with the most similar known name, else with all of them; None where nothing is known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    folded = {each.lower(): each for each in names}
    if name.lower() in folded:
        return f'did you mean "{folded[name.lower()]}"?'
    return f"known: {', '.join(names)}" if names else None


def path_text(path: Iterable[str | int]) -> str:
    """`spec.bands[2].below`; a key that is not a plain word stands in brackets: `limits["nvidia.com/gpu"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("_", "").isalnum():
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


def problems_of(error: ValidationError, block: type[BaseModel]) -> list[Problem]:
    """All problems of a document that is not a `block`, in the order in which they stand in it."""
    return [_problem(each, block) for each in error.errors(include_url=False)]


def _problem(error: Mapping[str, Any], block: type[BaseModel]) -> Problem:
    path = tuple(error["loc"])
    context = error.get("ctx", {})
    kind, given = error["type"], error["input"]
    if path and path[-1] == "[key]":
        path = path[:-1]
    shown = _show(given)
    match kind:
        case "missing":
            return Problem(path=path, message=f'"{path[-1]}" is missing')
        case "extra_forbidden":
            known = _known_fields(block, path[:-1])
            return Problem(path=path, message=f'unknown field "{path[-1]}"', hint=nearest(str(path[-1]), known))
        case "literal_error" | "enum":
            choices = [each for each in context["expected"].replace(" or ", ", ").replace("'", "").split(", ") if each]
            allowed = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
            close = nearest(given, choices) if isinstance(given, str) and len(choices) > 1 else None
            hint = close if close is not None and close.startswith("did") else None
            return Problem(path=path, message=f"must be {allowed}, not {shown}", hint=hint)
        case "string_type":
            hint = "put it in quotes" if isinstance(given, int | float) else None
            return Problem(path=path, message=f"must be text, not {shown}", hint=hint)
        case "int_type" | "int_from_float":
            hint = "take the quotes away" if isinstance(given, str) and given.isdecimal() else None
            return Problem(path=path, message=f"must be a whole number, not {shown}", hint=hint)
        case "bool_type":
            return Problem(path=path, message=f"must be true or false, not {shown}")
        case "model_type" | "model_attributes_type" | "dict_type":
            return Problem(path=path, message=f"must be a mapping, not {_kind_of(given)}")
        case "list_type":
            return Problem(path=path, message=f"must be a list, not {_kind_of(given)}")
        case "string_pattern_mismatch":
            wanted = _PATTERNS.get(context["pattern"], f"text that matches {context['pattern']}")
            return Problem(path=path, message=f"must be {wanted}, not {shown}")
        case "value_error":
            return Problem(path=path, message=str(context["error"]))
        case _ if "message" in context:
            return Problem(path=path, message=str(context["message"]), hint=context.get("hint") or None)
        case _:
            return Problem(path=path, message=_lower_first(str(error["msg"])) + _given(given, shown))


def _given(given: object, shown: str) -> str:
    return f", not {shown}" if isinstance(given, str | int | float) and not isinstance(given, bool) else ""


def _show(given: object) -> str:
    if isinstance(given, str):
        return f'"{given if len(given) <= _SHOWN else given[:_SHOWN] + "…"}"'
    if given is None or isinstance(given, dict | list):
        return _kind_of(given)
    return str(given).lower() if isinstance(given, bool) else str(given)


def _kind_of(given: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(given), "a number")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _known_fields(block: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    """The YAML names of the block at `path` inside `block`; empty where that is no block."""
    here: object = block
    for step in path:
        here = _inside(here, step)
    found = _block(here)
    if found is None:
        return []
    return [field.alias or name for name, field in found.model_fields.items()]


def _inside(annotation: object, step: str | int) -> object:
    found = _block(annotation)
    if found is not None:
        by_name = {field.alias or name: field.annotation for name, field in found.model_fields.items()}
        return by_name.get(str(step))
    for choice in _choices(annotation):
        if get_origin(choice) is list:
            return get_args(choice)[0]
        if get_origin(choice) is dict:
            return get_args(choice)[1]
    return None


def _block(annotation: object) -> type[BaseModel] | None:
    return next((each for each in _choices(annotation) if isinstance(each, type) and issubclass(each, BaseModel)), None)


def _choices(annotation: object) -> tuple[object, ...]:
    """The annotation itself, or what it is one of, without None and without Annotated."""
    if hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (list, dict) or isinstance(annotation, type):
        return (annotation,)
    return tuple(inner for each in get_args(annotation) if each is not type(None) for inner in _choices(each))
