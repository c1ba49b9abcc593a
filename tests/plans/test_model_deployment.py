"""What becomes of a ModelDeployment's revisions, and what its status says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pointsman.api.conditions import Condition, find
from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.reasons import Reason
from pointsman.deployments.plan import (
    Abilities,
    Observed,
    Pinned,
    Plan,
    RevisionState,
    RuntimeState,
    Unresolved,
    decide,
)

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
URI = "models:/fraud@champion"
ONE = Pinned(uri=URI, version="1", digest="sha256:" + "1" * 64)
TWO = Pinned(uri=URI, version="2", digest="sha256:" + "2" * 64)
OLDER = Pinned(uri=URI, version="0", digest="sha256:" + "0" * 64)
ANSWERS, STARTS = RevisionState(state="Answering"), RevisionState(state="Starting")
FAILS = RevisionState(state="Failing", cause="exit code 1: no space left")
AWAY = Unresolved(reason=Reason.RegistryUnreachable, message="nobody answers at http://registry")
NO_ALIAS = Unresolved(reason=Reason.AliasNotFound, message='model "fraud" has no alias "champion"')


def deployment(**spec: Any) -> ModelDeployment:
    return ModelDeployment.model_validate({"metadata": {"name": "fraud"}, "spec": {"model": {"uri": URI}, **spec}})


SERVING_ONE = Observed(
    deployment=deployment(),
    generation=3,
    wanted=ONE,
    trouble=None,
    serving=ONE,
    running={ONE.digest: ANSWERS},
    in_use=(),
    abilities=Abilities(
        runtimes=frozenset({"Native"}),
        sets_aside={
            "spec.resources": "nothing is limited",
            "spec.resources.limits": "no GPU is used",
            "spec.autoscaling": "one process serves",
            "spec.rollout": "it takes over at once",
            "spec.podTemplate": "there are no pods",
        },
    ),
)


def but(**changes: Any) -> Observed:
    return replace(SERVING_ONE, **changes)


def planned(observed: Observed) -> Plan:
    return decide(observed, NOW)


def condition(observed: Observed, type_: str = "Ready") -> Condition:
    found = find(planned(observed).told.conditions, type_)
    assert found is not None, f"no condition {type_}"
    return found


def said(observed: Observed, type_: str = "Ready") -> tuple[str, str]:
    found = condition(observed, type_)
    return found.status, found.reason.value


def test_a_version_that_answers_serves_and_is_ready() -> None:
    plan = planned(SERVING_ONE)
    assert (plan.run, plan.serve, plan.answers) == ((ONE,), ONE, True)
    assert said(SERVING_ONE) == ("True", "Ready")
    shown = {name: plan.told.fields[name] for name in ("version", "digest", "revision", "replicas")}
    assert shown == {"version": "1", "digest": ONE.digest, "revision": "11111111", "replicas": 1}


def test_nothing_runs_and_nothing_serves_before_the_reference_is_resolved() -> None:
    new = but(wanted=None, serving=None, running={})
    assert (planned(new).run, planned(new).serve, planned(new).answers) == ((), None, False)
    assert said(new) == ("Unknown", "Resolving")


def test_the_first_version_runs_but_does_not_serve_until_it_answers() -> None:
    starting = but(serving=None, running={ONE.digest: STARTS})
    assert (planned(starting).run, planned(starting).serve) == ((ONE,), None)
    assert said(starting) == ("Unknown", "ModelStarting")
    assert planned(but(serving=None)).serve == ONE


def test_the_old_revision_serves_until_the_new_one_answers() -> None:
    moved = but(wanted=TWO, running={ONE.digest: ANSWERS, TWO.digest: STARTS})
    assert planned(moved).serve == ONE
    assert planned(moved).run == (ONE, TWO)
    assert said(moved, "Rollout") == ("True", "NewRevisionProposed")
    assert said(moved) == ("True", "Ready")

    answered = but(wanted=TWO, running={ONE.digest: ANSWERS, TWO.digest: ANSWERS}, in_use=(ONE,))
    assert planned(answered).serve == TWO
    assert find(planned(answered).told.conditions, "Rollout") is None


def test_the_old_revision_goes_when_no_graph_uses_it_any_more() -> None:
    switched = but(wanted=TWO, serving=TWO, running={ONE.digest: ANSWERS, TWO.digest: ANSWERS})
    assert planned(replace(switched, in_use=(ONE,))).run == (TWO, ONE)
    assert planned(replace(switched, in_use=(ONE, OLDER))).run == (TWO, ONE, OLDER)
    assert planned(replace(switched, in_use=(TWO,))).run == (TWO,)
    assert planned(switched).run == (TWO,)


def test_a_new_version_that_fails_leaves_the_old_one_serving_and_asks_for_someone() -> None:
    failing = but(wanted=TWO, running={ONE.digest: ANSWERS, TWO.digest: FAILS})
    assert (planned(failing).serve, planned(failing).answers) == (ONE, True)
    assert planned(failing).told.fields["trafficPercent"] == 100
    assert said(failing, "ModelReady") == ("True", "ModelServing")
    assert said(failing) == ("False", "Crashing")
    assert condition(failing).message == "version 1 goes on serving, version 2 fails: exit code 1: no space left"


def test_a_changed_reference_is_not_ready_while_the_old_one_serves() -> None:
    changed = deployment(model={"uri": "models:/fraud/7"})
    seven = Pinned(uri="models:/fraud/7", version="7", digest=TWO.digest)
    unresolved = but(deployment=changed, wanted=None)
    assert planned(unresolved).serve == ONE
    assert said(unresolved)[0] == "Unknown"
    assert said(unresolved, "Rollout") == ("Unknown", "Progressing")

    starting = but(deployment=changed, wanted=seven, running={ONE.digest: ANSWERS, seven.digest: STARTS})
    assert said(starting) == ("Unknown", "NewRevisionProposed")

    answering = but(deployment=changed, wanted=seven, running={ONE.digest: ANSWERS, seven.digest: ANSWERS})
    assert said(answering) == ("True", "Ready")


def test_another_version_of_the_same_bytes_moves_nothing() -> None:
    observed = but(wanted=replace(ONE, version="2"))
    assert planned(observed).run == (ONE,)
    assert planned(observed).serve == ONE
    assert planned(observed).told.fields["trafficPercent"] == 100
    assert "version 2, with the same files as version 1" in condition(observed, "Resolved").message


def test_a_registry_that_is_away_keeps_the_pinned_version_serving_and_says_so() -> None:
    away = but(trouble=AWAY)
    assert planned(away).serve == ONE
    assert said(away) == ("True", "Ready")
    assert said(away, "Resolved") == ("True", "RegistryUnreachable")
    assert condition(away, "Resolved").message == "version 1 stays pinned: nobody answers at http://registry"


def test_an_alias_that_is_gone_asks_for_someone_though_the_pinned_version_serves() -> None:
    gone = but(trouble=NO_ALIAS)
    assert (planned(gone).serve, planned(gone).answers) == (ONE, True)
    assert said(gone) == ("False", "AliasNotFound")


@pytest.mark.parametrize(
    ("trouble", "status"), [(AWAY, "Unknown"), (NO_ALIAS, "False")], ids=["a registry that is away", "no such alias"]
)
def test_a_reference_that_was_never_resolved_names_the_trouble(trouble: Unresolved, status: str) -> None:
    assert said(but(wanted=None, serving=None, running={}, trouble=trouble)) == (status, trouble.reason.value)


def test_the_serving_revision_that_crashes_is_named_with_its_cause() -> None:
    assert said(but(running={ONE.digest: FAILS})) == ("False", "Crashing")
    assert "no space left" in condition(but(running={ONE.digest: FAILS})).message
    assert said(but(running={ONE.digest: STARTS})) == ("Unknown", "ModelStarting")
    assert planned(but(running={ONE.digest: STARTS})).serve == ONE


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"autoscaling": {"type": "None", "replicas": 3}}, "spec.autoscaling.replicas: one process serves"),
        ({"resources": {"limits": {"memory": "1Gi"}}}, "spec.resources: nothing is limited"),
        ({"resources": {"limits": {"nvidia.com/gpu": "1"}}}, 'spec.resources.limits["nvidia.com/gpu"]: no GPU is used'),
        ({"rollout": {"type": "Recreate"}}, "spec.rollout: it takes over at once"),
        ({"podTemplate": {"spec": {"serviceAccountName": "ml"}}}, "spec.podTemplate: there are no pods"),
    ],
    ids=["replicas", "memory", "a GPU", "a rollout", "a pod template"],
)
def test_what_is_set_aside_is_named_by_its_path_and_keeps_nothing_from_serving(spec: Any, path: str) -> None:
    observed = but(deployment=deployment(**spec))
    assert said(observed, "Honoured") == ("False", "NotHonouredHere")
    assert path in condition(observed, "Honoured").message
    assert said(observed) == ("True", "Ready")


def test_a_document_that_asks_for_nothing_more_is_honoured() -> None:
    assert said(SERVING_ONE, "Honoured") == ("True", "Accepted")
    assert said(but(deployment=deployment(rollout={"type": "RollingUpdate"})), "Honoured") == ("True", "Accepted")


def test_a_runtime_that_cannot_run_here_is_not_ready_and_runs_nothing() -> None:
    triton = but(deployment=deployment(runtime={"type": "Triton"}))
    assert (planned(triton).run, planned(triton).serve, planned(triton).answers) == ((), None, False)
    assert said(triton) == ("False", "NotHonouredHere")
    assert condition(triton).message == 'spec.runtime.type: "Triton" cannot run here: choose Native'
    assert "spec.runtime.type" in condition(triton, "Honoured").message


def test_a_runtime_that_cannot_run_here_says_why_where_that_is_known() -> None:
    able = replace(SERVING_ONE.abilities, cannot={"Triton": "its wheel is for Linux on x86-64"})
    triton = but(deployment=deployment(runtime={"type": "Triton"}), abilities=able)
    why = '"Triton" cannot run here: its wheel is for Linux on x86-64: choose Native'
    assert condition(triton).message == f"spec.runtime.type: {why}"
    assert why in condition(triton, "Honoured").message


def test_a_runtime_that_is_being_installed_is_waited_for_while_what_runs_goes_on() -> None:
    able = replace(SERVING_ONE.abilities, runtimes=frozenset({"Native", "Triton"}))
    waiting = but(
        deployment=deployment(runtime={"type": "Triton"}), abilities=able, runtime=RuntimeState(state="Installing")
    )
    assert said(waiting) == said(waiting, "RuntimeInstalled") == ("Unknown", "Progressing")
    assert condition(waiting).message.startswith('"Triton" is being installed')
    assert (planned(waiting).serve, planned(waiting).answers) == (ONE, True)
    assert said(waiting, "ModelReady") == ("True", "ModelServing")
    assert find(planned(replace(waiting, runtime=None)).told.conditions, "RuntimeInstalled") is None


def test_a_runtime_that_cannot_be_installed_asks_for_someone() -> None:
    able = replace(SERVING_ONE.abilities, runtimes=frozenset({"Native", "Triton"}))
    failing = RuntimeState(state="Failing", cause="exit code 1: no space left")
    failed = but(deployment=deployment(runtime={"type": "Triton"}), abilities=able, runtime=failing)
    assert said(failed) == ("False", "RuntimeNotFound")
    assert condition(failed).message == '"Triton" cannot be installed here: exit code 1: no space left'


def test_the_history_grows_when_other_bytes_are_proposed_or_serve_and_only_then() -> None:
    begun = {"proposedAt": "2026-11-01T00:00:00Z", "servedFrom": "2026-11-01T00:00:00Z"}
    first = {"version": "1", "digest": ONE.digest, "revision": ONE.revision, "uri": URI, **begun}
    assert planned(but(history=(first,))).told.fields["history"] == [first]

    moved = but(wanted=TWO, running={ONE.digest: ANSWERS, TWO.digest: FAILS}, history=(first,))
    second = {"version": "2", "digest": TWO.digest, "revision": TWO.revision, "uri": URI}
    proposed = {**second, "proposedAt": "2026-11-03T12:00:00Z", "failedFor": "Crashing"}
    assert planned(moved).told.fields["history"] == [first, proposed]

    answers = replace(moved, running={ONE.digest: ANSWERS, TWO.digest: ANSWERS}, history=(first, proposed))
    until, serves = {"servedUntil": "2026-11-03T12:00:00Z"}, {"servedFrom": "2026-11-03T12:00:00Z"}
    del proposed["failedFor"]
    assert planned(answers).told.fields["history"] == [{**first, **until}, {**proposed, **serves}]


def test_the_first_revision_of_a_recreate_is_not_said_to_wait_for_an_old_one() -> None:
    recreate = replace(SERVING_ONE.abilities, sets_aside={})
    new = but(deployment=deployment(rollout={"type": "Recreate"}), serving=None, running={}, abilities=recreate)
    proposed = new.history + tuple(planned(new).told.fields["history"])
    assert find(planned(replace(new, history=proposed)).told.conditions, "Rollout") is None


def test_every_condition_is_of_the_observed_generation() -> None:
    assert {each.observed_generation for each in planned(SERVING_ONE).told.conditions} == {3}
