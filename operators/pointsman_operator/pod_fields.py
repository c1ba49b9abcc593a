"""What Kubernetes knows of a PodSpec, down to the last field. What it does not know never comes to a pod: the API server takes a
ModelDeployment with any pod template, and then no InferenceService with it.

The description is that of Kubernetes' own client library, whose classes are read and never used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pointsman.api.findings import Problem, nearest

_LIST = re.compile(r"list\[(.+)\]", re.IGNORECASE)
_MAP = re.compile(r"dict[\[(]str, *(.+)[\])]", re.IGNORECASE)

Path = tuple[str | int, ...]


def problems(spec: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    """Every field below `path`, where a PodSpec stands, that there is not, or that should be a mapping or a list."""
    yield from _problems(spec, "V1PodSpec", path)


def _problems(value: object, type_: str, path: Path) -> Iterator[Problem]:
    of_list, of_map = _LIST.fullmatch(type_), _MAP.fullmatch(type_)
    if of_list is not None:
        if not isinstance(value, list):
            yield Problem(path=path, message="must be a list")
            return
        for place, item in enumerate(value):
            yield from _problems(item, of_list[1], (*path, place))
    elif of_map is not None or type_.startswith("V1"):
        if not isinstance(value, Mapping):
            yield Problem(path=path, message="must be a mapping")
            return
        fields = None if of_map is not None else _fields(type_)
        for name, item in value.items():
            if fields is None:
                assert of_map is not None
                yield from _problems(item, of_map[1], (*path, name))
            elif name in fields:
                yield from _problems(item, fields[name], (*path, name))
            else:
                message, hint = f'unknown field "{name}"', nearest(name, fields)
                yield Problem(path=(*path, name), message=message, hint=hint)


def _fields(type_: str) -> Mapping[str, str]:
    """The fields of one of Kubernetes' types, by their names in YAML, and the types of their values."""
    from kubernetes.client import models  # takes half a second to import, and only this needs it

    described = getattr(models, type_)
    return {described.attribute_map[name]: each for name, each in described.openapi_types.items()}
