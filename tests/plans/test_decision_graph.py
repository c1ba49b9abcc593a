"""What becomes of a DecisionGraph's host, and what its status says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pointsman.api.conditions import Condition, find
from pointsman.api.decision_graph import DecisionGraph, Uncertified
from pointsman.api.documents import load
from pointsman.api.reasons import Reason
from pointsman.certificates.awaiting import Awaiting
from pointsman.certificates.report import BandReport
from pointsman.graphs.compile import GraphProblem
from pointsman.graphs.plan import NO_HOST, HostState, Need, Observed, Wanted, decide

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
GRAPH = next(each for each in load(EXAMPLE / "graph.yaml") if isinstance(each, DecisionGraph))
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
STREAM = Need(kind="EventStream", name="transactions", ready="True")
VIEW = Need(kind="FeatureView", name="card-activity", ready="True")
MODEL = Need(kind="ModelDeployment", name="fraud-scorer", ready="True")
TARGET = Need(kind="ActionTarget", name="accounts", ready="True")
PROBLEM = GraphProblem(
    path="spec.nodes[boosted].model.inputs.amuont",
    message='the model has no input "amuont"',
    hint='did you mean "amount"?',
    reason=Reason.InputsDoNotBind,
)
HOST = HostState(running=True, answering=True, shape="Embedded", revision=OLD, generation=4)
DECIDING = Observed(
    graph=GRAPH,
    generation=4,
    needs=(STREAM, VIEW, MODEL, TARGET),
    problems=(),
    wanted=Wanted(revision=OLD, shape="Embedded", can_start=True),
    host=HOST,
    address="http://127.0.0.1:1/v1/graphs/card-fraud/decisions",
    sets_aside={"spec.runtime.image": "it runs from this installation"},
)
WANTS_NEW = Wanted(revision=NEW, shape="Embedded", can_start=True)
WANTS_RAY = Wanted(revision=NEW, shape="RayServe, workers 2", can_start=True)


def but(**changes: Any) -> Observed:
    return replace(DECIDING, **changes)


def host(**changes: Any) -> HostState:
    return replace(HOST, **changes)


def condition(observed: Observed, type_: str = "Ready") -> Condition:
    found = find(decide(observed).told.conditions, type_)
    assert found is not None, f"no condition {type_}"
    return found


def test_the_share_of_automatic_decisions_is_said_while_the_host_decides() -> None:
    share = lambda **changes: decide(but(host=host(**changes))).told.fields["automaticShare"]  # noqa: E731
    assert [share(), share(automatic_percent=0), share(automatic_percent=87)] == [None, "0%", "87%"]
    assert share(automatic_percent=87, answering=False) is None


def said(observed: Observed, type_: str = "Ready") -> tuple[str, str]:
    found = condition(observed, type_)
    return found.status, found.reason.value


def test_a_host_that_decides_with_what_is_wanted_is_ready_and_left_alone() -> None:
    plan = decide(DECIDING)
    assert plan.host is None
    assert said(DECIDING) == ("True", "Ready")
    assert (plan.told.fields["revision"], plan.told.fields["url"]) == (OLD, DECIDING.address)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (but(host=NO_HOST), "Start"),
        (but(host=NO_HOST, wanted=None), None),
        (but(host=NO_HOST, problems=(PROBLEM,)), None),
        (but(host=NO_HOST, wanted=replace(WANTS_NEW, can_start=False)), None),
        (but(wanted=WANTS_NEW), "Switch"),
        (but(wanted=None), None),
        (but(wanted=WANTS_NEW, problems=(PROBLEM,)), None),
        (but(wanted=WANTS_RAY), "Restart"),
        (but(wanted=replace(WANTS_RAY, can_start=False)), None),
        (but(wanted=WANTS_NEW, host=host(answering=False)), None),
        (but(wanted=WANTS_NEW, host=host(answering=False, failing=True)), "Restart"),
        (but(wanted=WANTS_NEW, host=host(answering=False, generation=3)), "Restart"),
        (but(host=host(answering=False, failing=True)), None),
    ],
    ids=[
        "a valid graph without a host starts one",
        "a graph that lacks something starts none",
        "an invalid graph starts none",
        "a host that would call a model which does not answer yet is not started",
        "another revision is switched to, not restarted for",
        "a host goes on when something that it needs is deleted",
        "a host goes on when its graph becomes invalid",
        "another runtime or another number of workers needs a new host",
        "a new host waits for the models that it calls",
        "a host that is starting is let finish, and switches then",
        "a host that fails starts with what is wanted now",
        "a host that starts with an older spec starts again",
        "a host that fails with what is wanted is left to the process table",
    ],
)
def test_the_host(observed: Observed, expected: str | None) -> None:
    assert decide(observed).host == expected


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        (STREAM, "StreamNotFound"),
        (VIEW, "ViewNotFound"),
        (MODEL, "DeploymentNotFound"),
        (TARGET, "TargetNotFound"),
    ],
    ids=["stream", "view", "model", "target"],
)
def test_what_does_not_exist_is_named_with_the_next_step(missing: Need, reason: str) -> None:
    needs = tuple(replace(each, ready=None) if each is missing else each for each in DECIDING.needs)
    observed = but(needs=needs, wanted=None, host=NO_HOST)
    assert said(observed) == ("False", reason)
    assert condition(observed).message == f'{missing.kind} "{missing.name}" does not exist: apply it'


def test_all_that_is_missing_is_named_at_once() -> None:
    needs = (replace(STREAM, ready=None), VIEW, replace(TARGET, ready=None))
    message = condition(but(needs=needs, wanted=None)).message
    assert message == 'EventStream "transactions", ActionTarget "accounts" do not exist: apply them'


def test_what_is_not_ready_is_waited_for_and_its_cause_is_passed_on() -> None:
    slow = replace(MODEL, ready="Unknown", why="version 1 has not answered yet", reason=Reason.ModelStarting)
    observed = but(needs=(STREAM, slow), host=NO_HOST)
    assert said(observed) == ("Unknown", "WaitingForModels")
    assert condition(observed).message.endswith('"fraud-scorer" is not Ready: version 1 has not answered yet')
    secretless = replace(TARGET, ready="False", why="no such secret: a/b", reason=Reason.SecretNotFound)
    assert said(but(needs=(secretless,))) == ("Unknown", "WaitingForSecrets")


def test_it_becomes_ready_by_itself_when_what_was_missing_is_there() -> None:
    without = but(needs=(replace(VIEW, ready=None),), wanted=None, host=NO_HOST)
    assert decide(without).host is None
    mended = replace(without, needs=(VIEW,), wanted=DECIDING.wanted)
    assert decide(mended).host == "Start"
    assert said(replace(mended, host=HOST)) == ("True", "Ready")


def test_problems_are_told_with_path_and_hint() -> None:
    observed = but(problems=(PROBLEM, PROBLEM), host=NO_HOST)
    assert said(observed) == ("False", "InputsDoNotBind")
    assert condition(observed).message.startswith(
        'spec.nodes[boosted].model.inputs.amuont: the model has no input "amuont"; did you mean "amount"?; spec.nodes'
    )
    assert condition(but(problems=(PROBLEM,) * 9)).message.endswith("; and 4 more")


def test_a_moved_model_is_switched_to_while_the_graph_stays_ready() -> None:
    moved = but(wanted=WANTS_NEW)
    assert said(moved) == ("True", "Ready")
    assert said(moved, "Rollout") == ("True", "SwitchingRevision")
    assert (
        condition(moved, "Rollout").message == "revision aaaaaaaa decides until the host has loaded revision bbbbbbbb"
    )


def test_a_changed_graph_is_not_ready_until_the_host_decides_with_it() -> None:
    changed = but(generation=5, wanted=WANTS_NEW)
    assert said(changed) == ("Unknown", "SwitchingRevision")
    switched = replace(changed, host=host(revision=NEW, generation=5))
    assert said(switched) == ("True", "Ready")


def test_a_changed_graph_that_is_invalid_says_that_the_old_one_decides() -> None:
    broken = but(generation=5, wanted=WANTS_NEW, problems=(PROBLEM,))
    assert said(broken) == ("False", "InputsDoNotBind")
    assert condition(broken, "Rollout").message == "revision aaaaaaaa goes on deciding until this one is valid"


def test_a_revision_that_the_host_refuses_asks_for_someone_and_the_old_one_decides() -> None:
    refused = but(wanted=WANTS_NEW, host=host(refused=NEW, cause="the model does not answer"))
    assert said(refused, "HostReady") == ("True", "HostServing")
    assert said(refused) == ("False", "HostFailed")
    assert "revision aaaaaaaa goes on deciding" in condition(refused).message
    assert "the model does not answer" in condition(refused).message
    assert decide(refused).host == "Switch", "it is tried again"
    other = but(wanted=WANTS_NEW, host=host(refused="sha256:" + "c" * 64))
    assert said(other) == ("True", "Ready"), "what was refused before does not count"


AWAITS = Awaiting(
    revision=NEW,
    bands=(BandReport(band="approve", reason=Reason.ScorerChanged, message='changed since: model of node "boosted"'),),
    models=("fraud-scorer",),
)
MOVED = replace(
    WANTS_NEW, models={"fraud-scorer": "models:/fraud-scorer/2", "card-sequence": "models:/card-sequence/1"}
)


def test_a_revision_that_waits_for_certificates_is_said_with_the_command_that_certifies_it() -> None:
    waiting = but(wanted=MOVED, host=host(awaits=AWAITS))
    assert decide(waiting).host is None, "the host switches by itself"
    assert said(waiting) == ("Unknown", "AwaitingCertificate")
    assert condition(waiting).message == (
        'revision aaaaaaaa goes on deciding with its certificates until revision bbbbbbbb has them: band "approve": changed '
        'since: model of node "boosted": pointsman certify card-fraud --model fraud-scorer=models:/fraud-scorer/2; to take it '
        "over without, and have people decide these items: onMissingCertificates: Review"
    )
    assert decide(waiting).told.fields["revision"] == OLD
    edited = but(wanted=MOVED, host=host(awaits=AWAITS.model_copy(update={"models": ()})))
    assert ": pointsman certify card-fraud --revision bbbbbbbb;" in condition(edited).message
    viewed = but(wanted=MOVED, host=host(awaits=AWAITS.model_copy(update={"models": (), "other_features": True})))
    assert "card-fraud --revision bbbbbbbb --events FILE --labels FILE;" in condition(viewed).message


def test_a_host_is_told_when_the_revision_that_waits_is_wanted_no_more() -> None:
    assert decide(but(host=host(awaits=AWAITS))).host == "Switch"
    assert said(but(host=host(awaits=AWAITS))) == ("True", "Ready")
    third = replace(WANTS_NEW, revision="sha256:" + "c" * 64)
    assert decide(but(wanted=third, host=host(awaits=AWAITS))).host == "Switch"
    assert said(but(wanted=third, host=host(awaits=AWAITS)), "Rollout") == ("True", "SwitchingRevision")


def test_what_a_host_that_stands_by_waits_for_is_said_too() -> None:
    beside = host(shape=WANTS_RAY.shape, revision=NEW, awaits=AWAITS)
    assert said(but(wanted=WANTS_RAY, beside=beside)) == ("Unknown", "AwaitingCertificate")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (host(answering=False), ("Unknown", "HostStarting")),
        (host(answering=False, failing=True, cause="exit code 1"), ("False", "HostFailed")),
    ],
    ids=["one that is starting", "one that ends again and again"],
)
def test_a_host_that_does_not_answer(state: HostState, expected: tuple[str, str]) -> None:
    assert said(but(host=state)) == expected
    assert decide(but(host=state)).told.fields["revision"] is None


def test_a_host_that_starts_again_is_not_ready() -> None:
    assert said(but(wanted=WANTS_RAY)) == ("Unknown", "HostStarting")


def test_certificates_that_are_not_required_are_said_and_keep_nothing_from_deciding() -> None:
    assert said(DECIDING, "Certified") == ("False", "CertificatesNotRequired")
    assert decide(DECIDING).told.fields["bandSummary"] == (
        "approve: no certificate required, review: people decide, freeze: no certificate required"
    )
    document = GRAPH.document()
    del document["spec"]["certificates"]
    required = but(graph=DecisionGraph.model_validate(document))
    assert said(required, "Certified") == ("False", "NoLiveCertificate")
    assert said(required) == ("True", "Ready")


def certified(*bands: BandReport) -> Observed:
    document = GRAPH.document()
    document["spec"]["certificates"] = "Required"
    return but(graph=DecisionGraph.model_validate(document), host=host(bands=bands))


def test_a_demoted_band_is_said_though_no_certificate_is_required() -> None:
    demoted = BandReport(band="approve", reason=Reason.BandDemoted, message="it was demoted by monitor: 4 of 700")
    observed = but(host=host(bands=(demoted,)))
    assert said(observed, "Certified") == ("False", "BandDemoted")
    assert condition(observed, "Certified").message.startswith('band "approve": it was demoted by monitor: 4 of 700; ')
    assert decide(observed).told.fields["bandSummary"].startswith("approve: demoted to review, ")


LIVE = BandReport(band="approve", reason=Reason.CertificatesLive, message="error at most 0.080%", bound=0.0008)
NEVER = BandReport(
    band="approve", reason=Reason.NoLiveCertificate, message="no certificate: it takes 2,995", never_certified=True
)
CHANGED = BandReport(band="freeze", reason=Reason.ScorerChanged, message="changed since: score expression", bound=None)


def test_the_status_says_which_band_has_what_bound_and_why_another_has_none() -> None:
    both = certified(LIVE, LIVE.model_copy(update={"band": "freeze", "bound": 0.009}))
    assert said(both, "Certified") == ("True", "CertificatesLive")
    assert decide(both).told.fields["bandSummary"] == (
        "approve: error at most 0.080%, review: people decide, freeze: error at most 0.900%"
    )
    one = condition(certified(LIVE, CHANGED), "Certified")
    assert (one.status, one.reason) == ("False", Reason.ScorerChanged)
    assert one.message == 'band "approve": error at most 0.080%; band "freeze": changed since: score expression'
    assert said(certified(LIVE, CHANGED)) == ("True", "Ready")


def test_a_certificate_that_ends_soon_is_said_and_bands_are_listed_with_what_they_have() -> None:
    ends = datetime(2026, 12, 1, tzinfo=UTC)
    soon = LIVE.model_copy(update={"ends_soon": True, "expires": ends, "certificate": "c1"})
    one = condition(certified(soon, LIVE.model_copy(update={"band": "freeze"})), "Certified")
    assert (one.status, one.reason) == ("True", Reason.CertificateEndsSoon)
    assert one.message.startswith('certify again, on newer labels: band "approve" within seven days; ')
    fields = decide(certified(soon, CHANGED)).told.fields
    assert fields["bandSummary"].startswith("approve: error at most 0.080% until 2026-12-01, ")
    assert fields["bands"] == [
        {
            "band": "approve",
            "reason": "CertificatesLive",
            "message": "error at most 0.080%",
            "certificate": "c1",
            "bound": "0.0800%",
            "expires": "2026-12-01T00:00:00Z",
        },
        {"band": "freeze", "reason": "ScorerChanged", "message": "changed since: score expression"},
    ]


def test_a_demoted_band_is_said_beside_what_is_certified_and_keeps_nothing_from_deciding() -> None:
    assert condition(certified(LIVE), "Monitored").status == "True"
    demoted = LIVE.model_copy(update={"reason": Reason.BandDemoted, "message": "it was demoted by monitor: 4 of 7"})
    found = condition(certified(demoted, CHANGED), "Monitored")
    assert (found.status, found.reason) == ("False", Reason.BandDemoted)
    assert found.message.startswith('band "approve": it was demoted by monitor: 4 of 7: its items go to people until')
    assert said(certified(demoted)) == ("True", "Ready")
    assert not [each for each in decide(DECIDING).told.conditions if each.type == "Monitored"]


def test_without_any_live_certificate_every_item_goes_to_people_and_the_status_says_why() -> None:
    message = condition(certified(CHANGED), "Certified").message
    assert message.startswith("no band has a live certificate, so every item goes to review: ")
    assert message.endswith('band "freeze": changed since: score expression')


def test_where_uncertified_items_have_an_outcome_of_their_own_the_status_says_so() -> None:
    observed = certified(NEVER, CHANGED)
    spec = observed.graph.spec.model_copy(update={"uncertified": Uncertified(outcome="approve")})
    graph = observed.graph.model_copy(update={"spec": spec})
    message = condition(replace(observed, graph=graph), "Certified").message
    aside = '; until then its items get the outcome "approve" without action, and people see 5%'
    assert message.startswith(
        f'no band has a live certificate, so nothing acts: band "approve": {NEVER.message}{aside}; '
    )
    assert message.endswith(CHANGED.message)


def test_segments_are_counted_in_the_summary() -> None:
    segments = [LIVE.model_copy(update={"segment": f'event.country = "{each}"'}) for each in ("DE", "FR")]
    assert (
        decide(certified(*segments))
        .told.fields["bandSummary"]
        .startswith("approve: error at most 0.080% in 2 segments, ")
    )


def test_a_maximum_of_workers_is_set_aside_where_nothing_adds_workers() -> None:
    def runs(**workers: int) -> Observed:
        document = GRAPH.document()
        document["spec"]["runtime"] = {"type": "RayServe", "workers": workers}
        aside = {"spec.runtime.workers.maxReplicas": "as many as minReplicas says run"}
        return but(graph=DecisionGraph.model_validate(document), sets_aside=aside)

    assert "spec.runtime.workers.maxReplicas" in condition(runs(minReplicas=2, maxReplicas=3), "Honoured").message
    assert "maxReplicas" not in condition(runs(minReplicas=2, maxReplicas=2), "Honoured").message
    assert "maxReplicas" not in condition(runs(minReplicas=2), "Honoured").message


def test_what_is_set_aside_is_named() -> None:
    message = condition(DECIDING, "Honoured").message
    assert "spec.audit" not in message
    assert "spec.runtime.image" not in message
    document = GRAPH.document()
    document["spec"]["runtime"]["image"] = "registry.example/graph@sha256:" + "0" * 64
    pinned = but(graph=DecisionGraph.model_validate(document))
    assert "spec.runtime.image: it runs from this installation" in condition(pinned, "Honoured").message


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (Reason.ReviewQueueFull, "so callers get 503 and sources are read no further"),
        (Reason.ReviewOverflow, 'gets review.overflowOutcome "defer" and no action'),
        (Reason.ReviewEscalated, "items have waited for longer than"),
    ],
)
def test_where_people_do_not_keep_up_the_status_says_so_and_the_graph_stays_ready(reason: Reason, says: str) -> None:
    document = GRAPH.document()
    document["spec"].setdefault("review", {})["overflowOutcome"] = "defer"
    late = but(graph=DecisionGraph.model_validate(document), host=host(reviews=reason))
    found = condition(late, "Reviews")
    assert (found.status, found.reason, says in found.message) == ("False", reason, True), found.message
    assert said(late) == ("True", "Ready")
    assert find(decide(but(host=host())).told.conditions, "Reviews") is None
