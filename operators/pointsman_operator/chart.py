"""Writes the parts of the Helm chart that are made from code and from `manifests/`: `python -m pointsman_operator.chart [--check]`.

Templates are the manifests with the release's values in their places. The Deployment's template alone is written by hand: it has
most of the values. Run in the repository's root.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from pointsman_operator.manifests import HEADER
from pointsman_operator.resources.runtimes import TRITON_IMAGE
from pointsman_operator.settings import RELEASE, Settings
from pointsman_operator.supported import KUBERNETES, SUPPORTED

CHART, MANIFESTS = Path("charts/pointsman"), Path("manifests")
OWN = ("namespace", "metrics_port", "webhook_port", "webhook_host", "leader_election")
"""Settings that the chart's own objects decide"""
TEMPLATES: Mapping[str, str | None] = {
    "crds/*.yaml": "crds",
    "runtimes/pointsman-*.yaml": "runtimes",
    "admission/*policy.yaml": None,
    "admission/*binding.yaml": None,
    "admission/webhook.yaml": "webhook",
    "monitoring/p*.yaml": "monitoring",
    "monitoring/dashboards/p*.yaml": "dashboards",
    "mlflow/mlflow.yaml": "mlflow",
    "gateway/rbac.yaml": "gateway",
    "gateway/deployment.yaml": "gateway",
    "gateway/gateway.yaml": "gateway",
    "postgres/server/postgres.yaml": "postgres",
    "operator/rbac.yaml": None,
    "operator/users.yaml": None,
    "operator/network.yaml": None,
}
"""What of the manifests becomes a template, and the value by which it is switched"""

_HEADER = "{{- /* Made by: make manifests */}}\n"
_BEGIN, _END = "<!-- values: made by make manifests -->\n", "<!-- end of values -->"
HERE: Mapping[str, str] = {
    "registry_url": "`http://mlflow.<the release's namespace>.svc:5000`",
    "graph_image": "`graph`, of `image.registry` and `image.tag`",
    "graph_pull_policy": "`image.pullPolicy`",
    "graph_pull_secrets": "`image.pullSecrets`",
    "graph_gateway": "that of `gateway.enabled`; without it, they are reached inside the cluster alone",
}
"""What the chart takes for settings that say nothing"""
_TWO = "^([^/]+/[^/]+)?$"
FORMS: Mapping[str, Mapping[str, Any]] = {
    "graph_pull_policy": {"enum": ["", "Always", "IfNotPresent", "Never"]},
    "graph_gateway": {"pattern": _TWO},
    "graph_redis": {"pattern": "^([^/]+:[0-9]+)?$"},
    "graph_redis_secret": {"pattern": _TWO},
    "graph_store_ports": {"pattern": "^[0-9]+(, *[0-9]+)*$"},
}
"""What else the operator would refuse, as JSON Schema says it"""

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def files() -> dict[Path, str]:
    """The text of every file that is made, by its path."""
    made = {CHART / "Chart.yaml": _chart()}
    for pattern, switch in TEMPLATES.items():
        for path in sorted(MANIFESTS.glob(pattern)):
            made[CHART / "templates" / path.relative_to(MANIFESTS)] = template(path.read_text(), switch)
    schema = json.loads((CHART / "values.schema.json").read_text())
    schema["properties"]["settings"] = _settings()
    made[CHART / "values.schema.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    readme = (CHART / "README.md").read_text()
    before, after = readme.partition(_BEGIN)[0], readme.partition(_END)[2]
    table = _table(schema, yaml.safe_load((CHART / "values.yaml").read_text()))
    made[CHART / "README.md"] = f"{before}{_BEGIN}{table}{_END}{after}"
    return made


def template(manifest: str, switch: str | None) -> str:
    """The manifest as a template. Braces that are there already are others': Prometheus'."""
    text = manifest.removeprefix(HEADER).replace("{{", '{{ "{{" }}')
    text = _kept(text) if switch == "crds" else _told(text)
    text = _for_trials(text) if switch == "postgres" else text
    if switch is None:
        return _HEADER + text
    return f"{_HEADER}{{{{- if .Values.{switch}.enabled }}}}\n{text}{{{{- end }}}}\n"


def _kept(text: str) -> str:
    return text.replace("\nmetadata:\n", "\nmetadata:\n  annotations: {helm.sh/resource-policy: keep}\n")


def _told(text: str) -> str:
    namespace = Settings().namespace
    text = text.replace(Settings().registry_url, '{{ include "pointsman.registryUrl" . | quote }}')
    text = text.replace(f"namespace: {namespace}", "namespace: {{ .Release.Namespace | quote }}")
    text = text.replace(namespace, "{{ .Release.Namespace }}")
    text = text.replace(f"image: {TRITON_IMAGE}", "image: {{ .Values.runtimes.tritonImage | quote }}")
    ours = rf"image: ghcr\.io/pointsman/([a-z-]+):{re.escape(RELEASE)}"
    text = re.sub(ours, r'image: {{ include "pointsman.image" (list . "\1") | quote }}', text)
    text = re.sub(r"^( +)image: .*\n", r"\g<0>" + _optional("pullPolicy", "imagePullPolicy: {{ . }}"), text, flags=re.M)
    secrets = _optional("pullSecrets", "imagePullSecrets: {{ toJson . }}")
    return re.sub(r"^( +)containers:\n", secrets + r"\g<0>", text, flags=re.M)


def _for_trials(text: str) -> str:
    """The PostgreSQL stands where its graphs are, on a volume or on its node's own disk."""
    place = "  namespace: {{ .Values.postgres.namespace | default .Release.Namespace | quote }}\n"
    text = re.sub(r"^metadata:\n  name: .*\n", r"\g<0>" + place, text, flags=re.M)
    claims = text[text.index("  volumeClaimTemplates:\n") : text.index("---\n")]
    asked = claims.replace("storage: 10Gi", "storage: {{ . | quote }}")
    text = text.replace(claims, f"  {{{{- with .Values.postgres.storage }}}}\n{asked}  {{{{- end }}}}\n")
    disk = ("{{- if not .Values.postgres.storage }}", "- name: data", "  emptyDir: {sizeLimit: 10Gi}", "{{- end }}")
    lines = "".join(f"        {line}\n" for line in disk)
    return text.replace("      volumes:\n", f"      volumes:\n{lines}")


def _optional(value: str, line: str) -> str:
    """The line, where the value is given: as a replacement, indented as the match's first group."""
    lines = (f"{{{{- with .Values.image.{value} }}}}", line, "{{- end }}")
    return "".join(rf"\1{each}" + "\n" for each in lines)


def leaves(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each documented value: its path with dots, and what the schema says of it."""
    for name, each in schema["properties"].items():
        if "properties" in each:
            yield from leaves(each, f"{path}{name}.")
        else:
            yield path + name, each


def _chart() -> str:
    oldest = ".".join(map(str, SUPPORTED[KUBERNETES].oldest))
    chart = {
        "apiVersion": "v2",
        "name": "pointsman",
        "description": "Models on Kubernetes, served through KServe by an operator that says why one does not serve.",
        "type": "application",
        "version": RELEASE,
        "appVersion": RELEASE,
        "kubeVersion": f">={oldest}.0-0",
    }
    return HEADER + yaml.safe_dump(chart, sort_keys=False, width=120)


def _settings() -> dict[str, Any]:
    """The operator's settings as a schema: names as in YAML, the description the docstring below each field."""
    [body] = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(body, ast.ClassDef)
    said = {
        field.target.id: " ".join(ast.literal_eval(text.value).split())
        for field, text in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr)
    }
    types, properties = get_type_hints(Settings), dict[str, Any]()
    for field in fields(Settings):
        if field.name in OWN:
            continue
        assert field.default is not MISSING
        default, description = field.default, said[field.name]
        if field.name in HERE:
            default, description = "", f"{description.partition('. Empty: ')[0]}. Empty: {HERE[field.name]}"
        property_: dict[str, Any] = {"type": _TYPES[types[field.name]], **FORMS.get(field.name, {})}
        if property_["type"] in ("integer", "number"):
            property_["minimum"] = 0
        properties[_camel(field.name)] = {**property_, "default": default, "description": description}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _table(schema: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for path, each in leaves(schema):
        default: Any = values
        for name in path.split("."):
            default = default.get(name, each.get("default", {})) if isinstance(default, Mapping) else default
        rows.append(f"| `{path}` | `{json.dumps(default)}` | {each['description']} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    """Write what differs; with --check say it, and 1. A template whose manifest is gone is taken away."""
    parser = argparse.ArgumentParser(prog="pointsman_operator.chart", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    options = parser.parse_args()
    wanted = files()
    there = {path for path in (CHART / "templates").rglob("*.yaml") if path.read_text().startswith(_HEADER)}
    differ = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in sorted(there - wanted.keys()) + differ:
        if options.check:
            print(f"{path} is not what the code makes: make manifests", file=sys.stderr)  # noqa: T201
        elif path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return int(options.check and bool(differ or there - wanted.keys()))


if __name__ == "__main__":
    sys.exit(main())
