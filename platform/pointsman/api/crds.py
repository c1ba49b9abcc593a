"""CustomResourceDefinitions, generated from the models: `python -m pointsman.api.crds [--check] [--folder DIR]`.

The models are the one description of the kinds. What a structural schema can say is said there (types, patterns,
limits, lists keyed by name, unions as CEL), so that an API server refuses what `documents` refuses, as far as it can.
Names of keys in free maps, regular expressions, MIG slices, acyclic nodes and what spans two documents stay with
`documents` and the plans.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pointsman.api.documents import KINDS
from pointsman.api.meta import GROUP, VERSION, Resource
from pointsman.api.status import COLUMNS, STATUS
from pointsman.api.values import OBJECT_NAME_PATTERN

Schema = dict[str, Any]

HEADER = "# Generated from the models by `python -m pointsman.api.crds`; change those, not this.\n"
FOLDER = Path("manifests/crds")


@dataclass(frozen=True, kw_only=True)
class Names:
    """How a kind is called on the command line."""

    plural: str
    short: str


NAMES: Mapping[str, Names] = {
    "EventStream": Names(plural="eventstreams", short="pes"),
    "ModelDeployment": Names(plural="modeldeployments", short="pmd"),
    "FeatureView": Names(plural="featureviews", short="pfv"),
    "DecisionGraph": Names(plural="decisiongraphs", short="pdg"),
    "ActionTarget": Names(plural="actiontargets", short="pat"),
}

_KEPT = (
    "description",
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
)
"""What a structural schema may say and ours do; in the order in which it is written."""


def definition(kind: str) -> Schema:
    """The CustomResourceDefinition of a kind, as plain values."""
    names = NAMES[kind]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": names.plural,
                "singular": kind.lower(),
                "shortNames": [names.short],
                "categories": ["pointsman"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [column.definition() for column in COLUMNS[kind]],
                    "schema": {"openAPIV3Schema": schema(KINDS[kind])},
                }
            ],
        },
    }


def schema(kind: type[Resource]) -> Schema:
    """The structural schema of a kind."""
    whole = kind.model_json_schema(by_alias=True, mode="validation")
    spec = _structural(whole["properties"]["spec"], whole["$defs"])
    return {
        "description": whole["description"],
        "type": "object",
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": {"description": f"Always {GROUP}/{VERSION}.", "type": "string"},
            "kind": {"description": f"Always {kind.__name__}.", "type": "string"},
            "metadata": {
                "type": "object",
                "properties": {"name": {"type": "string", "pattern": OBJECT_NAME_PATTERN, "maxLength": 63}},
            },
            "spec": spec,
            "status": STATUS[kind.__name__],
        },
    }


def _structural(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """A JSON schema of pydantic's, without references, alternatives with null, and what a structural schema lacks."""
    node = _inlined(node, definitions)
    if "const" in node:
        node = {**node, "enum": [node["const"]]}
    found = {name: node[name] for name in _KEPT if name in node}
    if "default" in node and isinstance(node["default"], str | int):
        found["default"] = node["default"]
    if "x-kubernetes-preserve-unknown-fields" in node:
        return found
    if "properties" in node:
        found["properties"] = {name: _structural(each, definitions) for name, each in node["properties"].items()}
    if "items" in node:
        found["items"] = _structural(node["items"], definitions)
    if values := _map_values(node):
        found["additionalProperties"] = _structural(values, definitions)
    return found


def _inlined(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """References replaced by what they refer to, `X or null` by X; what stands beside them wins."""
    while True:
        if "$ref" in node:
            inner, outer = definitions[node["$ref"].rpartition("/")[2]], {**node}
            del outer["$ref"]
        elif "anyOf" in node:
            (inner,) = (choice for choice in node["anyOf"] if choice != {"type": "null"})
            outer = {**node}
            del outer["anyOf"]
        else:
            return node
        node = {**inner, **outer}


def _map_values(node: Schema) -> Schema | None:
    """What the values of a free map look like. A rule for its keys cannot be said in a structural schema."""
    if isinstance(node.get("additionalProperties"), dict):
        return dict(node["additionalProperties"])
    patterns = list(node.get("patternProperties", {}).values())
    return dict(patterns[0]) if patterns else None


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (the name is the base's)
        return True


def _multi_line(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _multi_line)


def render(kind: str) -> str:
    """The file of a kind; the same models give the same bytes."""
    body = yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return HEADER + body


def files() -> dict[str, str]:
    """All files, by name."""
    return {f"{NAMES[kind].plural}.{GROUP}.yaml": render(kind) for kind in NAMES}


def differing(folder: Path) -> list[str]:
    """The names of the files that are not what the models say, those included that should not be there."""
    expected = files()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")} if folder.is_dir() else {}
    return sorted(name for name in expected.keys() | there.keys() if expected.get(name) != there.get(name))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pointsman.api.crds", description="Write or check the CRDs.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where the files are; default {FOLDER}")
    options = parser.parse_args(arguments)
    different = differing(options.folder)
    if options.check:
        for name in different:
            sys.stderr.write(f'differs from the models: "{options.folder / name}"; run python -m pointsman.api.crds\n')
        return 1 if different else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (options.folder / name).write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
