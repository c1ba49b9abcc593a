"""Writes the manifests that are made from code: `python -m pointsman_operator.manifests [--check] [--folder manifests]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pointsman_operator.resources import admission, dashboards, monitoring, runtimes

FOLDER = Path("manifests")
HEADER = "# Made by: make manifests\n"


def files() -> dict[str, str]:
    """The text of every file, by its path below the folder of manifests."""
    made = dict[str, str]()
    folders = {
        "runtimes": runtimes.documents(),
        "admission": admission.documents(),
        "monitoring": monitoring.documents(),
        "monitoring/dashboards": dashboards.documents(),
    }
    within = {"monitoring": ["dashboards"]}
    for folder, documents in folders.items():
        for name, document in documents.items():
            made[f"{folder}/{name}.yaml"] = _text(document)
        listed = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
        resources = [f"{name}.yaml" for name in documents] + within.get(folder, [])
        made[f"{folder}/kustomization.yaml"] = _text({**listed, "resources": resources})
    made["monitoring/rules.yaml"] = _text(monitoring.rules())
    return made


def main() -> int:
    """Write what differs; with --check say it, and 1."""
    parser = argparse.ArgumentParser(prog="pointsman_operator.manifests", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where the files are  [default: {FOLDER}]")
    options = parser.parse_args()
    wanted = {options.folder / name: text for name, text in files().items()}
    differ = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in differ:
        if options.check:
            print(f"{path} is not what the code makes: make manifests", file=sys.stderr)  # noqa: T201
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
    return int(options.check and bool(differ))


class _Dumper(yaml.SafeDumper):
    """Files within a file are written line by line."""


def _string(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _string)


def _text(document: Mapping[str, Any]) -> str:
    return HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120)


if __name__ == "__main__":
    sys.exit(main())
