"""Documents to objects: the one way in for files, text and requests. All that is wrong is collected and said at once.

Called by the CLI before anything is sent, by the local control API, and by tests. Nothing here touches what is running.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pointsman.api import yaml_text
from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.api.findings import Problem, nearest, path_text, problems_of
from pointsman.api.meta import API_VERSION, GROUP, Resource
from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.values import OBJECT_NAME_PATTERN

MAX_FILES = 500
"""The most files that are read from one folder."""

KINDS: Mapping[str, type[Resource]] = {
    kind.__name__: kind for kind in (EventStream, ModelDeployment, FeatureView, DecisionGraph, ActionTarget)
}
"""The five kinds by name."""

COMPANIONS: Mapping[str, str] = {"Deployment": "apps/v1", "Service": "v1", "Secret": "v1"}
"""Plain Kubernetes kinds that the local world stands in for, with their apiVersion."""


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A plain Kubernetes document beside ours, kept as it was written."""

    api_version: str
    kind: str
    name: str
    document: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DocumentError:
    """One thing that is wrong: where it stands, what it is, and what to do if that is known."""

    source: str
    line: int | None
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        where = f"{place}: {self.path}" if self.path else place
        return f"{where}: {self.message}" + (f"; {self.hint}" if self.hint else "")


class InvalidDocuments(ValueError):
    """Documents that cannot be taken, with everything that is wrong with all of them."""

    def __init__(self, errors: Iterable[DocumentError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, self.errors)))


def load(paths: str | Path | Iterable[str | Path]) -> list[Resource | Companion]:
    """All documents of a file, of several, or of a folder (its *.yaml and *.yml by name, without subfolders), in order.

    Raises InvalidDocuments.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    found, errors = list[_Found](), list[DocumentError]()
    for path in map(Path, given):
        for file in _files(path, errors):
            try:
                with file.open("rb") as opened:
                    raw = opened.read(yaml_text.MAX_BYTES + 1)
                text = raw.decode("utf-8-sig")
            except OSError as error:
                errors.append(_error(str(file), f"cannot be read: {error.strerror}"))
            except UnicodeDecodeError:
                errors.append(_error(str(file), "is not UTF-8 text"))
            else:
                found += _parse(text, str(file), errors)
    return _whole(found, errors)


def parse(text: str, *, source: str = "text") -> list[Resource | Companion]:
    """All documents of a text, in order. Raises InvalidDocuments."""
    errors = list[DocumentError]()
    found = _parse(text, source, errors)
    return _whole(found, errors)


def read(values: Iterable[object], *, source: str = "request") -> list[Resource | Companion]:
    """Documents that were parsed already, such as those of a JSON request. Raises InvalidDocuments."""
    errors, found = list[DocumentError](), list[_Found]()
    for position, value in enumerate(values):
        place = f"{source}[{position}]"
        document, problems = _understand(value)
        errors += [_error(place, each.message, each.hint, path=each.path) for each in problems]
        found += [_Found(source=place, line=None, document=document)] if document is not None else []
    return _whole(found, errors)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A document that is valid by itself, and where it stands."""

    source: str
    line: int | None
    document: Resource | Companion


def plain(document: Resource | Companion) -> dict[str, Any]:
    """A document as its author wrote it, in plain JSON values; `read` takes it back."""
    return document.document if isinstance(document, Companion) else document.written_document()


def _whole(found: list[_Found], errors: list[DocumentError]) -> list[Resource | Companion]:
    first: dict[tuple[str, str], _Found] = {}
    for each in found:
        identity = (each.document.kind, each.document.name)
        if identity in first:
            before = first[identity]
            place = before.source if before.line is None else f"{before.source}:{before.line}"
            message = f'{identity[0]} "{identity[1]}" is already described at {place}'
            errors.append(_error(each.source, message, line=each.line, path=("metadata", "name")))
        first.setdefault(identity, each)
    if errors:
        raise InvalidDocuments(errors)
    return [each.document for each in found]


def _files(path: Path, errors: list[DocumentError]) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            errors.append(_error(str(path), "does not exist"))
            return []
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and file.is_file())
    if not files:
        errors.append(_error(str(path), "has no *.yaml or *.yml file", hint="subfolders are not read; name them"))
    if len(files) > MAX_FILES:
        errors.append(_error(str(path), f"has more than {MAX_FILES} files", hint="name the folders one by one"))
        return []
    return files


def _error(
    source: str,
    message: str,
    hint: str | None = None,
    *,
    line: int | None = None,
    path: tuple[str | int, ...] = (),
) -> DocumentError:
    return DocumentError(source=source, line=line, path=path_text(path), message=message, hint=hint)


def _parse(text: str, source: str, errors: list[DocumentError]) -> list[_Found]:
    found = list[_Found]()
    for each in yaml_text.read(text):
        if isinstance(each, yaml_text.Refusal):
            errors.append(_error(source, each.message, each.hint, line=each.line))
            continue
        document, problems = _understand(each.plain())
        located = sorted(((each.line_of(problem.path), problem) for problem in problems), key=lambda pair: pair[0])
        errors += [_error(source, item.message, item.hint, line=line, path=item.path) for line, item in located]
        found += [_Found(source=source, line=each.line, document=document)] if document is not None else []
    return found


def _understand(value: object) -> tuple[Resource | Companion | None, list[Problem]]:
    """The object that a document describes, or all that is wrong with it."""
    if not isinstance(value, dict):
        return None, [Problem(path=(), message="a document must be a mapping with apiVersion, kind, metadata and spec")]
    problems = list(_identity_problems(value))
    if problems:
        return None, problems
    if value["kind"] in COMPANIONS:
        return _companion(value)
    kind = KINDS[value["kind"]]
    try:
        return kind.model_validate(value, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, problems_of(error, kind)


def _identity_problems(value: dict[str, Any]) -> Iterator[Problem]:
    kind, version = value.get("kind"), value.get("apiVersion")
    for name, given in (("apiVersion", version), ("kind", kind)):
        if given is None:
            yield Problem(path=(name,), message=f'"{name}" is missing')
        elif not isinstance(given, str):
            yield Problem(path=(name,), message="must be text")
    if not isinstance(kind, str) or not isinstance(version, str):
        return
    if kind in KINDS:
        if version != API_VERSION:
            yield Problem(path=("apiVersion",), message=f'"{version}" has no {kind}', hint=f"write {API_VERSION}")
    elif kind in COMPANIONS:
        if version != COMPANIONS[kind]:
            yield Problem(path=("apiVersion",), message=f'"{version}" has no {kind}', hint=f"write {COMPANIONS[kind]}")
    elif version.startswith(f"{GROUP}/"):
        yield Problem(path=("kind",), message=f'unknown kind "{kind}"', hint=nearest(kind, KINDS))
    else:
        known = [*KINDS, *COMPANIONS]
        message = f'"{kind}" of {version} is none of ours, and nothing stands in for it here'
        yield Problem(path=("kind",), message=message, hint=nearest(kind, known))


def _companion(value: dict[str, Any]) -> tuple[Companion | None, list[Problem]]:
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if name is None:
        return None, [Problem(path=("metadata", "name"), message='"name" is missing')]
    if not isinstance(name, str) or _OBJECT_NAME.fullmatch(name) is None:
        message = f"{name!r} is not a name: lower-case letters, digits and dashes, at most 63"
        return None, [Problem(path=("metadata", "name"), message=message)]
    return Companion(api_version=value["apiVersion"], kind=value["kind"], name=name, document=value), []


_OBJECT_NAME = re.compile(OBJECT_NAME_PATTERN)
