"""Documents to objects: every error at once, each with place, path, message and the nearest name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pointsman.api import documents
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.documents import Companion, DocumentError, InvalidDocuments
from pointsman.api.meta import Resource

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
FRAUD = EXAMPLES / "fraud"

Errors = Callable[[str], tuple[DocumentError, ...]]


@pytest.mark.parametrize("folder", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_every_example_loads(folder: str) -> None:
    assert documents.load(EXAMPLES / folder)


def test_a_folder_is_read_by_name_and_in_order() -> None:
    found = [(each.kind, each.name) for each in documents.load(FRAUD)]
    assert found == [
        ("Deployment", "accounts"),
        ("Service", "accounts"),
        ("ActionTarget", "accounts"),
        ("DecisionGraph", "card-fraud"),
        ("ModelDeployment", "fraud-scorer"),
        ("ModelDeployment", "card-sequence"),
        ("EventStream", "transactions"),
        ("FeatureView", "card-activity"),
        ("FeatureView", "terminal-activity"),
    ]


def test_files_text_and_parsed_values_give_the_same_objects() -> None:
    file = FRAUD / "graph.yaml"
    loaded = documents.load(file)
    assert documents.load([file]) == documents.parse(file.read_text()) == loaded
    assert documents.read(list(yaml.safe_load_all(file.read_text()))) == loaded


def test_what_was_loaded_can_be_written_and_loaded_again() -> None:
    for each in documents.load(FRAUD):
        if isinstance(each, Resource):
            assert documents.read([json.loads(json.dumps(each.document()))]) == [each]
        assert documents.read([json.loads(json.dumps(documents.plain(each)))]) == [each]


def test_an_alias_is_read_in_both_places() -> None:
    text = (FRAUD / "graph.yaml").read_text()
    twice = text.replace("inputs: {amount", "inputs: &inputs {amount").replace(
        "  - name: limits",
        "  - {name: again, type: Model, model: {deploymentRef: {name: card-sequence}, inputs: *inputs}}\n  - name: limits",
    )
    (graph,) = documents.parse(twice)
    assert isinstance(graph, DecisionGraph)
    _, sequence, again = (node.model for node in graph.spec.nodes if node.model is not None)
    assert again.inputs == sequence.inputs
    assert again.inputs["amount"] == "event.amount"


def test_a_plain_kubernetes_document_is_kept_as_it_was_written() -> None:
    text = (FRAUD / "accounts.yaml").read_text()
    companion = documents.parse(text)[0]
    assert isinstance(companion, Companion)
    assert companion.api_version == "apps/v1"
    assert companion.document == next(yaml.safe_load_all(text))


@pytest.mark.parametrize("kind", ["Namespace", "ConfigMap", "Pod"])
def test_a_kubernetes_kind_that_nothing_stands_in_for_is_refused_by_name(kind: str, errors_in: Errors) -> None:
    (error,) = errors_in(f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: x}}\n")
    assert f'"{kind}"' in error.message
    assert (error.line, error.path) == (2, "kind")


def test_all_errors_of_all_documents_are_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text("apiVersion: pointsman.dev/v1alpha1\nkind: FeatureViw\nmetadata: {name: x}\n")
    (tmp_path / "a.yaml").write_text("a: [1\n")
    (tmp_path / "c.yaml").write_text(
        "apiVersion: pointsman.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: X}\n"
        "spec:\n  modle: {uri: 'models:/a@b'}\n---\nkind: Service\napiVersion: v1\n"
    )
    (tmp_path / "ignored.txt").write_text("not: [yaml")
    with pytest.raises(InvalidDocuments) as raised:
        documents.load(tmp_path)
    said = [(Path(error.source).name, error.line, error.path) for error in raised.value.errors]
    assert said == [
        ("a.yaml", 2, ""),
        ("b.yml", 2, "kind"),
        ("c.yaml", 3, "metadata.name"),
        ("c.yaml", 4, "spec.model"),
        ("c.yaml", 5, "spec.modle"),
        ("c.yaml", 7, "metadata.name"),
    ]
    assert str(raised.value).splitlines()[4].endswith('spec.modle: unknown field "modle"; did you mean "model"?')


def view(*lines: str) -> str:
    head = "apiVersion: pointsman.dev/v1alpha1\nkind: FeatureView\nmetadata: {name: v}\nspec:\n"
    source = "  sourceRef: {name: s}\n  entity: card_id\n  features:\n"
    return head + source + "\n".join(f"  - {line}" for line in lines) + "\n"


@pytest.mark.parametrize(
    ("line", "path", "message", "hint"),
    [
        ("{name: a, aggregate: Count, windw: 1h}", "windw", 'unknown field "windw"', 'did you mean "window"?'),
        ("{name: a, aggregate: Count, include_current: true, window: 1h}", "include_current",
         'unknown field "include_current"', 'did you mean "includeCurrent"?'),
        ("{name: a, aggregate: count, window: 1h}", "aggregate",
         'must be one of Count, Sum, Mean, Min, Max, Last, SinceLast, Sequence, not "count"', 'did you mean "Count"?'),
        ("{aggregate: Count, window: 1h}", "name", '"name" is missing', None),
        ("{name: 5, aggregate: Count, window: 1h}", "name", "must be text, not 5", "put it in quotes"),
        ("{name: no, aggregate: Count, window: 1h}", "name", "must be text, not false", "put it in quotes"),
        ("{name: a, aggregate: Count, window: 60}", "window", "must be text in quotes, not 60", None),
        ("{name: a, aggregate: Count, window: 1d}", "window",
         'a duration is written like "50ms", "10m" or "1h30m", not "1d"', None),
        ("{name: a, aggregate: Last, field: x, count: '3'}", "count",
         'must be a whole number, not "3"', "take the quotes away"),
        ("{name: a, aggregate: Count, window: 1h, includeCurrent: 'true'}", "includeCurrent",
         'must be true or false, not "true"', None),
        ("{name: A, aggregate: Count, window: 1h}", "name",
         "must be lower-case letters, digits and underscores, at most 63, beginning with a letter, not \"A\"", None),
        ("{name: a, aggregate: Mean, field: x, window: 1h, default: 0.5}", "default",
         "must be a decimal number in quotes, not 0.5",
         'write it as text, such as "0.05"; binary floating point cannot hold it exactly'),
        ("text", "", "must be a mapping, not text", None),
    ],
)  # fmt: skip
def test_an_error_names_its_place_and_the_way_out(
    line: str, path: str, message: str, hint: str | None, errors_in: Errors
) -> None:
    (error,) = errors_in(view("{name: good, aggregate: Count, window: 1h}", line))
    assert error.path == "spec.features[1]" + (f".{path}" if path else "")
    assert (error.line, error.message, error.hint) == (9, message, hint)


def test_an_unknown_field_with_no_near_name_shows_what_there_is(errors_in: Errors) -> None:
    text = view("{name: good, aggregate: Count, window: 1h}").replace("{name: s}", "{name: s, zzzzzz: 1}")
    (error,) = errors_in(text)
    assert error.hint == "known: kind, name"


def test_a_key_that_is_no_word_stands_in_brackets(errors_in: Errors) -> None:
    text = (FRAUD / "models.yaml").read_text().replace("limits: {memory: 1Gi}", 'limits: {nvidia.com/gpu: "0.5"}')
    (error,) = errors_in(text)
    assert error.path == 'spec.resources.limits["nvidia.com/gpu"]'


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("just text", [""]),
        ("[1]", [""]),
        ("metadata: {name: x}", ["apiVersion", "kind"]),
        ("apiVersion: 1\nkind: [x]", ["apiVersion", "kind"]),
        ("apiVersion: pointsman.dev/v1\nkind: FeatureView", ["apiVersion"]),
        ("apiVersion: apps/v1\nkind: Service\nmetadata: {name: x}", ["apiVersion"]),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: X_}", ["metadata.name"]),
    ],
)
def test_a_document_says_what_it_is(text: str, paths: list[str], errors_in: Errors) -> None:
    assert [error.path for error in errors_in(text)] == paths


def test_the_same_object_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    text = view("{name: good, aggregate: Count, window: 1h}")
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text("# again\n" + text)
    with pytest.raises(InvalidDocuments) as raised:
        documents.load(tmp_path)
    (error,) = raised.value.errors
    assert error.source.endswith("b.yaml")
    assert f'FeatureView "v" is already described at {tmp_path / "a.yaml"}:1' in error.message


def test_parsed_values_are_named_by_their_position() -> None:
    with pytest.raises(InvalidDocuments) as raised:
        documents.read([{"kind": "X", "apiVersion": "pointsman.dev/v1alpha1"}, 5], source="request")
    assert [error.source for error in raised.value.errors] == ["request[0]", "request[1]"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "has no *.yaml or *.yml file"),
        (lambda path: path.write_bytes(b"a: \xff\xfe"), "is not UTF-8 text"),
        (lambda path: path.write_bytes(b"a: " + b"x" * (1 << 20)), "larger than 1024 KiB"),
    ],
)
def test_a_place_that_cannot_be_read_is_named(make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    place = tmp_path / "here.yaml"
    make(place)
    with pytest.raises(InvalidDocuments) as raised:
        documents.load(place)
    (error,) = raised.value.errors
    assert (error.source, error.message) == (str(place), message)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("\ufeff" + view("{name: good, aggregate: Count, window: 1h}"))
    assert len(documents.load(tmp_path)) == 1


def test_what_an_api_server_adds_to_an_object_is_read() -> None:
    value = yaml.safe_load(view("{name: good, aggregate: Count, window: 1h}"))
    value["metadata"] |= {
        "uid": "8b6c3f8e-0000-4000-8000-000000000000",
        "generation": 3,
        "namespace": "risk",
        "resourceVersion": "12",
        "creationTimestamp": "2026-05-01T12:00:00Z",
        "managedFields": [{"manager": "kubectl", "fieldsV1": {}}],
        "finalizers": ["pointsman.dev/x"],
    }
    value["status"] = {"observedGeneration": 3, "conditions": []}
    (found,) = documents.read([value])
    assert isinstance(found, Resource)
    assert (found.metadata.generation, found.metadata.namespace) == (3, "risk")
    assert "status" not in found.document()
