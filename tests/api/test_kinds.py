"""What each kind refuses by itself, and where it says so. One good document each, spoiled one value at a time."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pointsman.api import documents
from pointsman.api.action_target import ActionTarget
from pointsman.api.decision_graph import DecisionGraph
from pointsman.api.event_stream import EventStream
from pointsman.api.feature_view import FeatureView
from pointsman.api.model_deployment import ModelDeployment

Build = Callable[..., dict[str, Any]]
Errors = Callable[[dict[str, Any]], list[tuple[str, str, str | None]]]
Changes = dict[str, Any]

STREAM = "EventStream"
VIEW = "FeatureView"
MODEL = "ModelDeployment"
GRAPH = "DecisionGraph"
TARGET = "ActionTarget"

SECRET = {"secretKeyRef": {"name": "s", "key": "k"}}
PROMISE = {"maxError": "1%", "confidence": "95%"}
METRIC = [{"type": "CPU", "averageUtilization": 70}]
PYTHON = {"name": "risk", "type": "Python", "python": {"function": "fraud.nodes:combine", "inputs": {"a": "boosted.p"}}}
RULES = {"name": "limits", "type": "Rules", "rules": [{"name": "big", "when": "event.amount > 1.0", "reason": "Big"}]}
CODE = {"wheel": "fraud-1.0-py3-none-any.whl", "digest": "sha256:" + "0" * 64}
FIELD = "spec__contract__fields__"

REFUSED: list[tuple[str, Changes, str, str]] = [
    # all kinds
    (VIEW, {"metadata__name": "Views"}, "metadata.name", "lower-case"),
    (VIEW, {"metadata__name": "a" * 64}, "metadata.name", "at most 63 characters"),
    (VIEW, {"metadata__extra": 1}, "metadata.extra", "unknown field"),
    (VIEW, {"extra": 1}, "extra", "unknown field"),
    (VIEW, {"spec": ...}, "spec", "missing"),
    # EventStream
    (STREAM, {"spec__source": {"type": "Kafka"}}, "spec.source.kafka", 'type Kafka needs "kafka"'),
    (
        STREAM,
        {"spec__source__files": {"path": "/drop", "format": "CSV"}},
        "spec.source.files",
        '"files" belongs to type Files, not to type HTTP',
    ),
    (
        STREAM,
        {"spec__source": {"type": "Kafka", "kafka": {"bootstrapServers": ["a:1"], "topic": "t", "format": "Avro"}}},
        "spec.source.kafka.schemaRegistry",
        "needs",
    ),
    (
        STREAM,
        {"spec__source": {"type": "Files", "files": {"path": "/d", "format": "CSV", "afterRead": "Move"}}},
        "spec.source.files.moveTo",
        "go together",
    ),
    (
        STREAM,
        {"spec__source": {"type": "SQL", "sql": {"url": SECRET, "table": "a; drop", "cursor": "id"}}},
        "spec.source.sql.table",
        "must be text that matches",
    ),
    (STREAM, {"spec__id": "missing"}, "spec.id", '"missing" is not a field of the contract'),
    (STREAM, {"spec__time": "amount"}, "spec.time", '"amount" is a Decimal; it must be Timestamp'),
    (STREAM, {"spec__time": "known_at"}, "spec.time", '"known_at" is optional; every event needs it'),
    (STREAM, {"spec__knownAt": "amount"}, "spec.knownAt", "must be Timestamp"),
    (STREAM, {"spec__orderingKey": "amount"}, "spec.orderingKey", "must be String or Integer"),
    (STREAM, {f"{FIELD}0__name": "amount"}, "spec.contract.fields[3].name", "already used by [0]"),
    (STREAM, {f"{FIELD}0__name": "Id"}, "spec.contract.fields[0].name", "lower-case"),
    (STREAM, {f"{FIELD}0__scale": 2}, "spec.contract.fields[0].scale", "is for Decimal, not for String"),
    (STREAM, {f"{FIELD}0__minimum": "1"}, "spec.contract.fields[0].minimum", "is for Integer and Decimal and Double"),
    (STREAM, {f"{FIELD}3__maxLength": 4}, "spec.contract.fields[3].maxLength", "is for String"),
    (
        STREAM,
        {f"{FIELD}3__minimum": "0.001"},
        "spec.contract.fields[3].minimum",
        "more decimal places than the field (2)",
    ),
    (STREAM, {f"{FIELD}3__minimum": "1000001"}, "spec.contract.fields[3].minimum", "above the maximum"),
    (STREAM, {f"{FIELD}3__minimum": 0}, "spec.contract.fields[3].minimum", "decimal number in quotes"),
    (STREAM, {f"{FIELD}3__scale": 13}, "spec.contract.fields[3].scale", "less than or equal to 12"),
    (STREAM, {f"{FIELD}0__minLength": 65}, "spec.contract.fields[0].minLength", "above maxLength"),
    (STREAM, {f"{FIELD}0__pattern": "("}, "spec.contract.fields[0].pattern", "not a regular expression"),
    (STREAM, {f"{FIELD}0__values": ["a", "a"]}, "spec.contract.fields[0].values", "listed twice"),
    # FeatureView
    (VIEW, {"spec__features__0__field": "amount"}, "spec.features[0].field", 'Count takes no "field"'),
    (VIEW, {"spec__features__0__window": ...}, "spec.features[0].window", 'Count needs "window"'),
    (VIEW, {"spec__features__0__window": "0s"}, "spec.features[0].window", "longer than nothing"),
    (VIEW, {"spec__features__0__default": "1"}, "spec.features[0].default", 'Count takes no "default"'),
    (VIEW, {"spec__features__0__count": 3}, "spec.features[0].count", 'Count takes no "count"'),
    (VIEW, {"spec__features__0__aggregate": "Sum"}, "spec.features[0].field", 'Sum needs "field"'),
    (
        VIEW,
        {"spec__features__0": {"name": "a", "aggregate": "Last", "field": "amount"}},
        "spec.features[0].count",
        "needs",
    ),
    (
        VIEW,
        {"spec__features__0": {"name": "a", "aggregate": "SinceLast", "window": "1h", "includeCurrent": True}},
        "spec.features[0].includeCurrent",
        "always be 0",
    ),
    (
        VIEW,
        {
            "spec__features__0": {"name": "last", "aggregate": "Last", "field": "amount", "count": 3},
            "spec__features__1__name": "last_2",
        },
        "spec.features[1].name",
        'the output "last_2" is also given by feature "last"',
    ),
    (VIEW, {"spec__features": []}, "spec.features", "at least 1 item"),
    (VIEW, {"spec__maxAge": "0s"}, "spec.maxAge", "longer than nothing"),
    (VIEW, {"spec__sourceRef__kind": "FeatureView"}, "spec.sourceRef.kind", "must be EventStream"),
    # ModelDeployment
    (MODEL, {"spec__model__uri": "s3://bucket/model"}, "spec.model.digest", "so it needs"),
    (MODEL, {"spec__model__uri": "models:/fraud"}, "spec.model.uri", "must be text that matches"),
    (MODEL, {"spec__model__uri": "models:/fraud/0"}, "spec.model.uri", "must be text that matches"),
    (MODEL, {"spec__model__digest": "sha256:abc"}, "spec.model.digest", "64 hexadecimal digits"),
    (MODEL, {"spec__runtime": {"type": "Container"}}, "spec.runtime.container", 'type Container needs "container"'),
    (MODEL, {"spec__runtime": {"type": "ServingRuntime"}}, "spec.runtime.servingRuntimeRef", "needs"),
    (
        MODEL,
        {"spec__runtime": {"type": "Native", "triton": {"instances": 2}}},
        "spec.runtime.triton",
        "belongs to type Triton",
    ),
    (
        MODEL,
        {"spec__runtime": {"type": "Container", "container": {"image": "a", "env": [{"name": "A"}]}}},
        "spec.runtime.container.env[0].value",
        "needs one of",
    ),
    (
        MODEL,
        {"spec__resources__limits": {"nvidia.com/gpu": "0.5"}},
        'spec.resources.limits["nvidia.com/gpu"]',
        "whole numbers",
    ),
    (
        MODEL,
        {"spec__resources__limits": {"nvidia.com/mig-8g.5gb": "1"}},
        'spec.resources.limits["nvidia.com/mig-8g.5gb"]',
        "MIG",
    ),
    (MODEL, {"spec__resources__limits": {"gpu": "1"}}, "spec.resources.limits.gpu", '"gpu" is not a resource'),
    (
        MODEL,
        {"spec__resources__requests__nvidia.com/gpu": 1},
        'spec.resources.requests["nvidia.com/gpu"]',
        "under limits",
    ),
    (MODEL, {"spec__resources__requests__memory": "2Gi"}, "spec.resources.requests.memory", "above the limit"),
    (MODEL, {"spec__resources__requests__cpu": 0.5}, "spec.resources.requests.cpu", "must be a quantity, not 0.5"),
    (MODEL, {"spec__batching": {"maxBatchSize": 0}}, "spec.batching.maxBatchSize", "greater than or equal to 1"),
    (
        MODEL,
        {"spec__autoscaling": {"type": "HPA", "metrics": METRIC}},
        "spec.autoscaling.maxReplicas",
        "type HPA needs",
    ),
    (MODEL, {"spec__autoscaling": {"minReplicas": 2}}, "spec.autoscaling.minReplicas", "belongs to type HPA or KEDA"),
    (
        MODEL,
        {"spec__autoscaling": {"type": "External", "replicas": 2}},
        "spec.autoscaling.replicas",
        "belongs to type None",
    ),
    (
        MODEL,
        {"spec__autoscaling": {"type": "HPA", "minReplicas": 0, "maxReplicas": 2, "metrics": METRIC}},
        "spec.autoscaling.minReplicas",
        "HPA cannot go to 0",
    ),
    (
        MODEL,
        {"spec__autoscaling": {"type": "HPA", "minReplicas": 3, "maxReplicas": 2, "metrics": METRIC}},
        "spec.autoscaling.maxReplicas",
        "below minReplicas",
    ),
    (
        MODEL,
        {
            "spec__autoscaling": {
                "type": "HPA",
                "maxReplicas": 2,
                "metrics": [{"type": "RequestsPerSecond", "averageValue": 100}],
            }
        },
        "spec.autoscaling.metrics[0].type",
        "HPA does not know the metric",
    ),
    (
        MODEL,
        {"spec__autoscaling": {"type": "KEDA", "maxReplicas": 2, "metrics": [{"type": "CPU"}]}},
        "spec.autoscaling.metrics[0].averageUtilization",
        "needs one of",
    ),
    (
        MODEL,
        {
            "spec__autoscaling": {
                "type": "HPA",
                "maxReplicas": 2,
                "metrics": METRIC,
                "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "period": "500ms"}]}},
            }
        },
        "spec.autoscaling.behavior.scaleUp.policies[0].period",
        "whole seconds",
    ),
    (MODEL, {"spec__route": {"parentRefs": []}}, "spec.route.parentRefs", "at least 1 item"),
    (MODEL, {"spec__slo": {"window": "1h"}}, "spec.slo.availability", "needs"),
    (MODEL, {"spec__slo": {"availability": "101%"}}, "spec.slo.availability", "from 0% to 100%"),
    (MODEL, {"spec__rollout": {"type": "Canary"}}, "spec.rollout.steps", 'type Canary needs "steps"'),
    (MODEL, {"spec__rollout": {"steps": [{"trafficPercent": 5}]}}, "spec.rollout.steps", "belongs to type Canary"),
    (
        MODEL,
        {"spec__rollout": {"type": "Canary", "steps": [{"trafficPercent": 50}, {"trafficPercent": 5}]}},
        "spec.rollout.steps[1].trafficPercent",
        "5 is not above 50",
    ),
    (MODEL, {"spec__governance__riskTier": "high"}, "spec.governance.riskTier", "one of Low, Medium, High"),
    # DecisionGraph
    (GRAPH, {"spec__nodes__0__name": "terminal"}, "spec.nodes[1].name", "already used by [0]"),
    (GRAPH, {"spec__nodes__4": RULES | {"name": "event"}}, "spec.nodes[4].name", "reserved"),
    (GRAPH, {"spec__nodes__4": RULES | {"name": "while"}}, "spec.nodes[4].name", "reserved"),
    (
        GRAPH,
        {"spec__nodes__0__model": {"deploymentRef": {"name": "x"}, "inputs": {"a": "event.a"}}},
        "spec.nodes[0].model",
        "belongs to type Model",
    ),
    (GRAPH, {"spec__nodes__4": {"name": "m", "type": "Model"}}, "spec.nodes[4].model", 'type Model needs "model"'),
    (
        GRAPH,
        {"spec__nodes__2__model__inputs__amount": "events.amount"},
        "spec.nodes[2].model.inputs.amount",
        "names no node",
    ),
    (
        GRAPH,
        {"spec__nodes__2__model__inputs__amount": "amount"},
        "spec.nodes[2].model.inputs.amount",
        "node.output or event.field",
    ),
    (GRAPH, {"spec__nodes__2__model__inputs__amount": "boosted.p"}, "spec.nodes[2]", "boosted → boosted"),
    (GRAPH, {"spec__score": "bosted.probability"}, "spec.score", '"bosted.probability" names no node of this graph'),
    (GRAPH, {"spec__score": "limits.big", "spec__nodes__4": RULES}, "spec.score", "a Rules node has no outputs"),
    (
        GRAPH,
        {"spec__nodes__4": PYTHON, "spec__code": CODE, "spec__score": "risk.valu"},
        "spec.score",
        '"risk.valu" is no output of node "risk"',
    ),
    (GRAPH, {"spec__nodes__4": PYTHON}, "spec.nodes[4].python", "so the graph needs spec.code"),
    (
        GRAPH,
        {"spec__nodes__4": RULES | {"rules": [RULES["rules"][0] | {"when": "nobody.x > 1.0"}]}},
        "spec.nodes[4].rules[0].when",
        "names no node",
    ),
    (
        GRAPH,
        {"spec__nodes__4": RULES | {"rules": [RULES["rules"][0] | {"outcome": "decline"}]}},
        "spec.nodes[4].rules[0].outcome",
        "must be review",
    ),
    (
        GRAPH,
        {"spec__nodes__4": RULES | {"rules": [RULES["rules"][0] | {"reason": "too_big"}]}},
        "spec.nodes[4].rules[0].reason",
        "CamelCase",
    ),
    (
        GRAPH,
        {"spec__bands__2__actions": ["freez"]},
        "spec.bands[2].actions[0]",
        '"freez" is not an action of this graph',
    ),
    (GRAPH, {"spec__bands__2__actions": ["freeze", "freeze"]}, "spec.bands[2].actions[1]", "listed twice"),
    (GRAPH, {"spec__bands__1__actions": ["freeze"]}, "spec.bands[1].actions", "a person decides"),
    (GRAPH, {"spec__bands__1__promise": PROMISE}, "spec.bands[1].promise", "a person decides"),
    (GRAPH, {"spec__bands__0__promise__maxError": "0%"}, "spec.bands[0].promise.maxError", "between 0% and 100%"),
    (GRAPH, {"spec__bands__0__below": 0.05}, "spec.bands[0].below", "decimal number in quotes"),
    (GRAPH, {"spec__certificates": ..., "spec__label": ...}, "spec.label", "certificates are Required"),
    (GRAPH, {"spec__certificates": "Required", "spec__bands__0__promise": ...}, "spec.bands[0].promise", "needs"),
    (GRAPH, {"spec__review__verdicts__0__actions": ["thaw"]}, "spec.review.verdicts[0].actions[0]", "not an action"),
    (GRAPH, {"spec__review__groupBy": "nobody.card"}, "spec.review.groupBy", "names no node"),
    (GRAPH, {"spec__actions__0__parameters__account": "crd.x"}, "spec.actions[0].parameters.account", "names no node"),
    (GRAPH, {"spec__deadline": "0ms"}, "spec.deadline", "longer than nothing"),
    (GRAPH, {"spec__runtime": {"type": "Embedded", "workers": {"minReplicas": 2}}}, "spec.runtime.workers", "RayServe"),
    (
        GRAPH,
        {"spec__runtime__workers": {"minReplicas": 3, "maxReplicas": 2}},
        "spec.runtime.workers.maxReplicas",
        "below",
    ),
    (GRAPH, {"spec__code": CODE | {"wheel": "fraud.whl"}}, "spec.code.wheel", "must be text that matches"),
    # ActionTarget
    (TARGET, {"spec__serviceRef": ...}, "spec.serviceRef", 'needs "serviceRef" or "url"'),
    (TARGET, {"spec__url": "https://core.example.com"}, "spec.serviceRef", "exclude each other"),
    (
        TARGET,
        {"spec__url": "http://core.example.com", "spec__serviceRef": ...},
        "spec.url",
        "must be text that matches",
    ),
    (TARGET, {"spec__auth": {"type": "Basic"}}, "spec.auth.basic", 'type Basic needs "basic"'),
    (TARGET, {"spec__auth__basic": {"username": "u", "password": SECRET}}, "spec.auth.basic", "belongs to type Basic"),
    (TARGET, {"spec__auth__bearer": "a-token"}, "spec.auth.bearer", "must be a mapping, not text"),
    (TARGET, {"spec__idempotency": {"type": "None", "header": "X"}}, "spec.idempotency.header", "belongs to type Key"),
    (
        TARGET,
        {"spec__approval__policy": "FourEyes"},
        "spec.approval.policy",
        "belongs to type WhenUncertified or Always",
    ),
    (TARGET, {"spec__operations__0__compensation": "thaw"}, "spec.operations[0].compensation", "not another operation"),
    (
        TARGET,
        {"spec__operations__0__compensation": "freeze"},
        "spec.operations[0].compensation",
        "not another operation",
    ),
    (
        TARGET,
        {"spec__operations__1__request__path": "/x/{account}/{reason}"},
        "spec.operations[0].compensation",
        'needs parameters that "freeze" does not have: reason',
    ),
    (TARGET, {"spec__idempotency": {"type": "ReadBack"}}, "spec.operations[1].readBack", "on each operation"),
    (TARGET, {"spec__operations__0__readBack__path": "/a/{card}"}, "spec.operations[0].readBack", '"card"'),
    (TARGET, {"spec__operations__0__request__path": "https://evil/"}, "spec.operations[0].request.path", "matches"),
    (TARGET, {"spec__operations__0__request__method": "GET"}, "spec.operations[0].request.method", "one of POST"),
    (TARGET, {"spec__budget__onExhausted": "Drop"}, "spec.budget.onExhausted", "one of Hold, Review"),
]


@pytest.mark.parametrize(("kind", "changes", "path", "message"), REFUSED)
def test_one_wrong_value_gives_one_error_at_its_place(
    kind: str, changes: Changes, path: str, message: str, but: Build, errors_of: Errors
) -> None:
    found = errors_of(but(kind, **changes))
    assert [each[0] for each in found] == [path], found
    assert message in found[0][1]


ACCEPTED: list[tuple[str, Changes]] = [
    (
        STREAM,
        {"spec__source": {"type": "HTTP", "http": {"maxBody": "1Mi", "maxEventsPerRequest": 10}, "maxInFlight": 5}},
    ),
    (
        STREAM,
        {
            "spec__source": {
                "type": "Kafka",
                "kafka": {
                    "bootstrapServers": ["kafka:9092"],
                    "topic": "transactions",
                    "group": "g",
                    "startAt": "Latest",
                    "tls": {"ca": SECRET, "certificate": SECRET, "key": SECRET},
                    "sasl": {"mechanism": "ScramSHA256", "username": "u", "password": SECRET},
                },
            }
        },
    ),
    (STREAM, {"spec__source": {"type": "Files", "files": {"path": "/drop", "pattern": "*.csv", "format": "CSV"}}}),
    (STREAM, {"spec__source": {"type": "SQL", "sql": {"url": SECRET, "table": "bank.payments", "cursor": "id"}}}),
    (STREAM, {f"{FIELD}0__values": ["a", "b"], f"{FIELD}0__pattern": "[a-z]+", f"{FIELD}0__description": "…"}),
    (VIEW, {"spec__features__0": {"name": "amounts", "aggregate": "Last", "field": "amount", "count": 20}}),
    (MODEL, {"spec__model": {"uri": "s3://bucket/model", "digest": "sha256:" + "a" * 64, "format": "ONNX"}}),
    (MODEL, {"spec__model__uri": "models:/fraud-scorer/12"}),
    (MODEL, {"spec__runtime": {"type": "Triton", "triton": {"instances": 2}}}),
    (MODEL, {"spec__runtime": {"type": "KServePython", "kservePython": {"image": "a/b:1"}}}),
    (MODEL, {"spec__runtime": {"type": "KServePython"}}),
    (MODEL, {"spec__runtime": {"type": "BentoML", "bentoml": {"image": "a/b:1"}}}),
    (MODEL, {"spec__runtime": {"type": "BentoML"}}),
    (
        MODEL,
        {
            "spec__runtime": {
                "type": "ServingRuntime",
                "servingRuntimeRef": {"kind": "ClusterServingRuntime", "name": "t"},
            }
        },
    ),
    (
        MODEL,
        {
            "spec__runtime": {
                "type": "Container",
                "container": {
                    "image": "a",
                    "args": ["--x"],
                    "env": [{"name": "T", "valueFrom": SECRET}],
                    "grpcPort": 9000,
                },
            }
        },
    ),
    (MODEL, {"spec__resources": {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": "1", "cpu": "500m"}}}),
    (MODEL, {"spec__resources": {"limits": {"nvidia.com/mig-1g.10gb": 1, "amd.com/gpu": 2, "hugepages-2Mi": "64Mi"}}}),
    (
        MODEL,
        {
            "spec__podTemplate": {
                "metadata": {"labels": {"team": "risk"}},
                "spec": {"serviceAccountName": "ml", "nodeSelector": {}, "tolerations": [{"key": "gpu"}]},
            }
        },
    ),
    (MODEL, {"spec__autoscaling": {"type": "HPA", "minReplicas": 1, "maxReplicas": 8, "metrics": METRIC}}),
    (
        MODEL,
        {
            "spec__autoscaling": {
                "type": "KEDA",
                "minReplicas": 0,
                "maxReplicas": 8,
                "metrics": [
                    {"type": "Concurrency", "averageValue": "4"},
                    {"type": "Prometheus", "prometheus": {"serverAddress": "http://p", "query": "q", "threshold": "5"}},
                ],
                "pollingInterval": "30s",
                "cooldownPeriod": "5m",
                "behavior": {"scaleDown": {"stabilizationWindow": "5m", "selectPolicy": "Disabled"}},
            }
        },
    ),
    (MODEL, {"spec__autoscaling": {"type": "External"}}),
    (MODEL, {"spec__autoscaling": {"type": "None", "replicas": 3}}),
    (MODEL, {"spec__route": {"parentRefs": [{"name": "public"}], "hostnames": ["fraud.models.example.com"]}}),
    (
        MODEL,
        {
            "spec__slo": {
                "window": "720h",
                "availability": "99.9%",
                "latency": {"threshold": "50ms", "objective": "95%"},
            }
        },
    ),
    (
        MODEL,
        {
            "spec__rollout": {
                "type": "Canary",
                "steps": [{"trafficPercent": 5, "pause": {"duration": "10m"}}, {"trafficPercent": 50, "pause": {}}],
            }
        },
    ),
    (MODEL, {"spec__rollout": {"type": "Shadow", "shadow": {"trafficPercent": 10, "duration": "24h"}}}),
    (GRAPH, {"spec__certificates": ..., "spec__deadline": "50ms"}),
    (GRAPH, {"spec__nodes__4": RULES}),
    (GRAPH, {"spec__nodes__4": PYTHON, "spec__code": CODE, "spec__score": "risk.value"}),
    (
        GRAPH,
        {"spec__runtime": {"type": "RayServe", "workers": {"minReplicas": 1, "maxReplicas": 4}, "image": "a@sha256:b"}},
    ),
    (GRAPH, {"spec__runtime": {"type": "Embedded"}}),
    (GRAPH, {"spec__actions__0__approval": {"type": "Always", "policy": "FourEyes"}}),
    (TARGET, {"spec__serviceRef": ..., "spec__url": "https://core.example.com/api"}),
    (TARGET, {"spec__auth": {"type": "Basic", "basic": {"username": "u", "password": SECRET}}}),
    (TARGET, {"spec__auth": {"type": "APIKey", "apiKey": {"secretKeyRef": {"name": "s", "key": "k"}}}}),
    (
        TARGET,
        {
            "spec__auth": {
                "type": "OAuth2",
                "oauth2": {"tokenUrl": "https://login/t", "clientId": "c", "clientSecret": SECRET, "scopes": ["a"]},
            }
        },
    ),
    (TARGET, {"spec__auth": {"type": "MutualTLS", "mutualTLS": {"certificate": SECRET, "key": SECRET}}}),
    (TARGET, {"spec__auth": {"type": "HMAC", "hmac": {"secretKeyRef": {"name": "s", "key": "k"}}}}),
    (TARGET, {"spec__operations__0__request__body": {"reason": "fraud on {account}"}, "spec__suspend": True}),
]


@pytest.mark.parametrize(("kind", "changes"), ACCEPTED)
def test_what_a_kind_offers_is_taken_and_read_back(kind: str, changes: Changes, but: Build, errors_of: Errors) -> None:
    document = but(kind, **changes)
    assert errors_of(document) == []
    (found,) = documents.read([document])
    assert not isinstance(found, documents.Companion)
    assert documents.read([found.document()]) == [found]
    assert documents.plain(found) == documents.plain(documents.read([documents.plain(found)])[0])


def load(document: dict[str, Any]) -> Any:
    return documents.read([document])[0]


def test_an_event_stream_says_what_others_rely_on(but: Build) -> None:
    stream = load(but(STREAM))
    assert isinstance(stream, EventStream)
    amount = stream.spec.contract.field("amount")
    assert amount is not None
    assert (amount.minimum, amount.maximum, amount.scale, amount.optional) == (Decimal(0), Decimal(1000000), 2, False)
    assert (amount.column_type.type, amount.column_type.scale) == ("Decimal", 2)
    assert (stream.spec.known_at, stream.spec.ordering_key) == ("known_at", "card_id")
    assert stream.spec.contract.field("nothing") is None


def test_a_feature_view_says_what_others_rely_on(but: Build) -> None:
    view = load(but(VIEW, spec__features__0={"name": "l", "aggregate": "Last", "field": "amount", "count": 2}))
    assert isinstance(view, FeatureView)
    assert view.spec.features[0].outputs == ("l_1", "l_2")
    assert view.spec.features[1].outputs == (view.spec.features[1].name,)
    assert view.spec.allowed_lateness.seconds == 3600
    assert load(but(VIEW, spec__allowedLateness=...)).spec.allowed_lateness.microseconds == 0


def test_a_model_deployment_without_settings_has_the_documented_defaults(but: Build) -> None:
    deployment = load(but(MODEL, spec={"model": {"uri": "models:/a@b"}}))
    assert isinstance(deployment, ModelDeployment)
    spec = deployment.spec
    assert (spec.runtime.type, spec.autoscaling.type, spec.autoscaling.replicas) == ("Native", "None", 1)
    assert (spec.batching.max_batch_size, spec.batching.max_queue_delay_microseconds) == (256, 0)
    assert (spec.rollout.type, spec.route, spec.slo, spec.governance) == ("RollingUpdate", None, None, None)


def test_a_graph_says_in_which_order_its_nodes_come(but: Build) -> None:
    document = but(GRAPH)
    document["spec"]["nodes"].reverse()
    graph = load(document)
    assert isinstance(graph, DecisionGraph)
    ordered = [node.name for node in graph.spec.ordered_nodes()]
    assert max(map(ordered.index, ("card", "terminal"))) < min(map(ordered.index, ("boosted", "sequence", "limits")))
    boosted = graph.spec.node("boosted")
    assert boosted is not None
    assert "event.amount" in map(str, boosted.mentions)


def test_a_graph_refuses_nodes_that_need_each_other(but: Build, errors_of: Errors) -> None:
    document = but(
        GRAPH,
        spec__nodes__2__model__inputs__amount="sequence.probability",
        spec__nodes__3__model__inputs={"amount": "boosted.probability"},
    )
    ((path, message, _),) = errors_of(document)
    assert path in ("spec.nodes[2]", "spec.nodes[3]")
    assert "boosted → sequence" in message or "sequence → boosted" in message


def test_a_graph_says_all_that_is_wrong_with_its_names_at_once(but: Build, errors_of: Errors) -> None:
    document = but(GRAPH, spec__score="bosted.p", spec__bands__2__actions=["freez"], spec__review__priority="evnt.x")
    hints = {path: hint for path, _, hint in errors_of(document)}
    assert hints == {
        "spec.score": 'did you mean "boosted"?',
        "spec.bands[2].actions[0]": 'did you mean "freeze"?',
        "spec.review.priority": 'did you mean "event"?',
    }


def test_an_action_target_without_terms_is_careful(but: Build) -> None:
    target = load(but(TARGET, spec__idempotency=..., spec__approval=..., spec__budget=..., spec__timeout=...))
    assert isinstance(target, ActionTarget)
    spec = target.spec
    assert (spec.idempotency.type, spec.approval.type, spec.suspend) == ("None", "WhenUncertified", False)
    assert spec.approval.effective_policy == "FourEyes"
    assert (spec.timeout.seconds, spec.budget) == (2.0, None)


def test_an_operation_knows_its_parameters(but: Build) -> None:
    target = load(but(TARGET, spec__operations__0__request__body={"why": "{reason} at {account}"}))
    freeze = target.spec.operation("freeze")
    assert freeze is not None
    assert freeze.parameters == {"account", "reason"}
    assert target.spec.operation("melt") is None


def test_a_block_cannot_be_changed_once_it_is_read(but: Build) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(but(VIEW)).spec.entity = "other"


def test_a_secret_that_was_written_into_a_document_is_not_repeated(but: Build, errors_of: Errors) -> None:
    for changes in ({"spec__auth__bearer": "hunter2"}, {"spec__auth__bearer": {"token": "hunter2"}}):
        assert "hunter2" not in repr(errors_of(but(TARGET, **changes)))
