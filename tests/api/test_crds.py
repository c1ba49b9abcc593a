"""The CRDs: what the models say, in a form that an API server takes."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pointsman.api import crds, documents
from pointsman.api.documents import KINDS, Companion
from pointsman.api.meta import Choice, Resource
from pointsman.api.status import COLUMNS, FIELDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "manifests" / "crds"
EXAMPLES = ROOT / "manifests" / "examples"

Schema = dict[str, Any]
Place = tuple[str, ...]

SCALARS = {"string", "integer", "boolean"}


def structure(kind: str) -> Schema:
    (version,) = crds.definition(kind)["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def parts(schema: Schema, place: Place = ()) -> Iterator[tuple[Place, Schema]]:
    """Every schema inside a schema, with its place."""
    yield place, schema
    for name, inner in schema.get("properties", {}).items():
        yield from parts(inner, (*place, name))
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from parts(schema[word], (*place, word))


@pytest.fixture(params=list(KINDS))
def spec(request: pytest.FixtureRequest) -> list[tuple[str, Schema]]:
    """Every schema inside a kind's spec, with its path."""
    return [(".".join(place), part) for place, part in parts(structure(request.param)["properties"]["spec"])]


Spec = list[tuple[str, Schema]]


def rules(part: Schema) -> list[dict[str, str]]:
    found: list[dict[str, str]] = part.get("x-kubernetes-validations", [])
    return found


def test_the_files_are_what_the_models_say() -> None:
    assert crds.differing(FOLDER) == [], "run `python -m pointsman.api.crds`"


def test_the_same_models_give_the_same_bytes() -> None:
    assert crds.files() == crds.files()
    assert all(text.startswith(crds.HEADER) and text.endswith("\n") for text in crds.files().values())


def test_the_check_names_what_differs_and_writing_settles_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--folder", str(tmp_path / "crds")]
    assert crds.main([*arguments, "--check"]) == 1
    assert not (tmp_path / "crds").exists()
    assert crds.main(arguments) == 0
    assert crds.main([*arguments, "--check"]) == 0
    capsys.readouterr()
    file = tmp_path / "crds" / "featureviews.pointsman.dev.yaml"
    file.write_text(file.read_text().replace("Namespaced", "Cluster"))
    (tmp_path / "crds" / "old.yaml").write_text("")
    assert crds.main([*arguments, "--check"]) == 1
    said = capsys.readouterr().err
    assert "featureviews" in said
    assert "old.yaml" in said
    assert "eventstreams" not in said


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_definition_has_the_names_that_users_type(kind: str) -> None:
    definition = yaml.safe_load(crds.render(kind))
    spec = definition["spec"]
    names = spec["names"]
    assert definition["metadata"]["name"] == f"{names['plural']}.pointsman.dev"
    assert (spec["scope"], names["kind"], names["singular"]) == ("Namespaced", kind, kind.lower())
    assert names["shortNames"] == [
        {"EventStream": "pes", "ModelDeployment": "pmd", "FeatureView": "pfv", "DecisionGraph": "pdg"}.get(kind, "pat")
    ]
    assert names["categories"] == ["pointsman"]
    assert spec["versions"][0]["subresources"] == {"status": {}}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_column_shows_a_field_that_the_status_has(kind: str) -> None:
    status = structure(kind)["properties"]["status"]["properties"]
    (version,) = crds.definition(kind)["spec"]["versions"]
    columns = version["additionalPrinterColumns"]
    assert [column["name"] for column in columns if not column.get("priority")][-3:] == ["Ready", "Reason", "Age"]
    for column in columns:
        if "conditions[" not in column["jsonPath"] and column["name"] != "Age":
            field = column["jsonPath"].removeprefix(".status.")
            assert status[field]["type"] == {"date": "string"}.get(column["type"], column["type"])


def test_what_one_asks_first_of_a_model_is_shown_without_wide() -> None:
    (version,) = crds.definition("ModelDeployment")["spec"]["versions"]
    shown = [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]
    assert shown == ["Version", "Revision", "Traffic", "Replicas", "Ready", "Reason", "Age"]


def test_every_kind_has_its_status_and_its_columns() -> None:
    assert set(FIELDS) == set(COLUMNS) == set(KINDS)


def test_a_schema_is_structural(spec: Spec) -> None:
    absent = {"$ref", "anyOf", "oneOf", "allOf", "not", "title", "const", "patternProperties", "propertyNames"}
    for path, part in spec:
        assert not part.keys() & absent, path
        assert part.get("additionalProperties") is not False, path
        if part.get("x-kubernetes-int-or-string"):
            assert "type" not in part, path
        else:
            assert part["type"] in {*SCALARS, "array", "object"}, path
        if part.get("type") == "object":
            inside = part.keys() & {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"}
            assert len(inside) == 1, path
            assert set(part.get("required", [])) <= set(part.get("properties", {})), path
        if part.get("type") == "array":
            assert "items" in part, path
            assert part["maxItems"] <= 1024, f"{path}: a list has a limit, so that CEL over it has a price"
        if part.get("x-kubernetes-preserve-unknown-fields"):
            assert path.endswith("podTemplate.spec"), f"{path}: nothing else is open"


def test_a_field_says_what_it_is_for(spec: Spec) -> None:
    for path, part in spec:
        if not path.endswith(("items", "additionalProperties")):
            assert part["description"].endswith((".", '".', "…")), path


def test_an_optional_field_says_its_default_or_a_rule_says_when_it_is_needed(spec: Spec) -> None:
    for path, part in spec:
        ruled = "".join(rule["rule"] for rule in rules(part))
        for name, inner in part.get("properties", {}).items():
            if name not in part.get("required", ()) and f"has(self.{name})" not in ruled:
                assert re.search(r"\bdefault\b", inner["description"], re.IGNORECASE), f"{path}.{name}"


def test_a_default_is_safe_to_write_into_an_object(spec: Spec) -> None:
    for path, part in spec:
        if "default" in part:
            assert isinstance(part["default"], str | int), path
            jsonschema.validate(part["default"], {key: value for key, value in part.items() if key != "default"})


def test_a_default_that_is_written_is_the_default_that_is_described(spec: Spec) -> None:
    for path, part in spec:
        if "default" in part:
            shown = str(part["default"]).lower() if isinstance(part["default"], bool) else str(part["default"])
            assert re.search(rf'[Dd]efault:? "?{re.escape(shown)}"?[.,: ]', part["description"] + " "), path


def test_a_list_of_named_things_is_keyed_by_name(spec: Spec) -> None:
    for path, part in spec:
        if part.get("x-kubernetes-list-type") == "map":
            assert part["x-kubernetes-list-map-keys"] == ["name"], path
            assert "name" in part["items"]["required"], path
        elif part.get("type") == "array" and not path.endswith("parentRefs"):  # two Gateways may share a name
            assert "name" not in part["items"].get("required", []), path


def test_a_pattern_is_one_that_go_can_compile(spec: Spec) -> None:
    for path, part in spec:
        pattern = part.get("pattern", "^$")
        re.compile(pattern)
        assert pattern.startswith("^"), path
        assert pattern.endswith("$"), path
        assert "(?" not in pattern, path
        assert all(int(count) <= 1000 for count in re.findall(r"\{\d*,?(\d+)\}", pattern)), path


def test_a_rule_names_fields_of_its_own_block(spec: Spec) -> None:
    for path, part in spec:
        for rule in rules(part):
            assert rule["message"], path
            assert set(re.findall(r"self\.([A-Za-z0-9]+)", rule["rule"])) <= set(part["properties"]), path
            bare = re.sub(r"'[^']*'", "", rule["rule"])
            assert bare.count("(") == bare.count(")"), path


@pytest.mark.parametrize("union", Choice.__subclasses__(), ids=lambda union: union.__name__)
def test_a_union_that_the_models_refuse_is_refused_by_the_cluster_too(union: type[Choice]) -> None:
    schema = union.model_json_schema()
    types = set(schema["properties"]["type"]["enum"])
    said = "".join(rule["rule"] for rule in rules(schema))
    for name, its_types in union.belongs.items():
        yaml = union.model_fields[name].alias
        assert set(its_types) < types
        assert f"!has(self.{yaml})" in said
        assert "default" not in schema["properties"][yaml], "it would be written for every type"
    for name, its_types in union.needs.items():
        assert set(its_types) <= types
        assert f"has(self.{union.model_fields[name].alias}) || (self.type != " in said


def closed(schema: Schema) -> Schema:
    """The schema with unknown fields refused, as an API server does with strict field validation."""
    schema = copy.deepcopy(schema)
    for _, part in parts(schema):
        if "properties" in part and not part.get("x-kubernetes-preserve-unknown-fields"):
            part["additionalProperties"] = False
        if part.pop("x-kubernetes-int-or-string", False):
            part["type"] = ["integer", "string"]
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


@pytest.mark.parametrize("folder", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_the_examples_meet_the_schemas(folder: str) -> None:
    checked = 0
    for document in documents.load(EXAMPLES / folder):
        if not isinstance(document, Companion):
            for value in (documents.plain(document), document.document()):
                jsonschema.validate(value, closed(structure(document.kind)), cls=jsonschema.Draft7Validator)
                checked += 1
    assert checked


@pytest.mark.parametrize("spoiled", ["unknown", "type", "pattern"])
def test_the_schemas_refuse_what_they_should(spoiled: str) -> None:
    document = next(each for each in documents.load(EXAMPLES / "fraud") if each.kind == "FeatureView")
    assert isinstance(document, Resource)
    value = documents.plain(document)
    value["spec"] |= {"unknown": {"windw": "1h"}, "type": {"entity": 5}, "pattern": {"maxAge": "1 day"}}[spoiled]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, closed(structure("FeatureView")), cls=jsonschema.Draft7Validator)
