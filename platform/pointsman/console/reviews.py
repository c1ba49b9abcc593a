"""Review items: list, claim a case, release it, decide it. The reviewer is whoever the key belongs to."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from pointsman.console.asking import (
    After,
    Asked,
    Limit,
    Refused,
    ReviewState,
    Short,
    Text,
    TheCaller,
    TheStore,
    TheVerdicts,
    cursor,
    read_cursor,
)
from pointsman.console.personal import for_their_eyes
from pointsman.console.store import Connection, now
from pointsman.decisions.queries import DecisionNotFound, explain, recorded_revision
from pointsman.decisions.recorded import NotRecorded
from pointsman.explanations.explain import explained
from pointsman.governance.keyring import Caller
from pointsman.governance.masking import PERSONAL, personal_case
from pointsman.reviews import first_calls, queue, verdicts
from pointsman.reviews.blind import hidden_from
from pointsman.reviews.counts import AGES, waiting
from pointsman.reviews.measures import measures
from pointsman.reviews.second import UnknownAnswer, given, open_golden
from pointsman.reviews.veil import record_without_view, without_view, without_what_followed

router = APIRouter(prefix="/v1/reviews", tags=["reviews"])
measuring = APIRouter()


def review_of(
    review: Annotated[Short, Path(description="The item's id, or its first six digits or more.")], store: TheStore
) -> UUID:
    """The item that the path names."""
    with store.connection() as connection:
        return queue.find(connection, review)


TheReview = Annotated[UUID, Depends(review_of)]

LEASE_SECONDS = 900


class Claim(Asked):
    """How long the reviewer wants to hold the case."""

    lease_seconds: int = Field(default=LEASE_SECONDS, ge=10, le=3600)


class ClaimNext(Claim):
    """The graph whose first case is wanted."""

    graph: Short


class FirstCall(Asked):
    """What the reviewer thinks before they see what the model thinks."""

    verdict: Short


class GiveVerdict(Asked):
    """What the reviewer says, and why."""

    verdict: Short
    reason: Text
    scope: Literal["Case", "Item"] = "Case"


class Golden(Asked):
    """A decision, by its id or its event's, and the verdict that is right."""

    decision: Short
    verdict: Short


@measuring.get("/v1/graphs/{graph}/reviewers", tags=["reviews"], summary="How reviewers agree, and how long they take")
def reviewers(
    graph: Short,
    store: TheStore,
    days: Annotated[float, Query(gt=0, le=3650, description="Verdicts of so many days until now.")] = 30,
) -> dict[str, Any]:
    """Cohen's kappa of each pair, Krippendorff's alpha over all, golden items, seconds from claim to verdict, and how far
    verdicts follow the model's score, before and after it is shown.
    """
    found, since = store.graph(graph), now() - timedelta(days=days)
    label = found.document.spec.label
    with store.connection() as connection:
        said = given(connection, found.uid, since)
    return {"since": since, **asdict(measures(said, None if label is None else label.name))}


@measuring.get("/v1/graphs/{graph}/reviews", tags=["reviews"], summary="How many items wait, and which")
def counts(graph: Short, store: TheStore, caller: TheCaller) -> dict[str, Any]:
    """Open items by band, reason and age; how many were escalated, are past their deadline, are held, and by you."""
    with store.connection() as connection:
        found = waiting(connection, store.graph(graph).uid, caller.subject, now())
    return {
        "open": found.open,
        "escalated": found.escalated,
        "overdue": found.overdue,
        "held": found.held,
        "mine": found.mine,
        "atStake": found.at_stake,
        "byBand": [{"band": band or None, "items": count} for band, count in sorted(found.by_band.items())],
        "byReason": [{"reason": reason, "items": count} for reason, count in found.by_reason.items()],
        "byAge": [
            {"upToSeconds": limit, "items": count} for limit, count in zip((*AGES, None), found.by_age, strict=True)
        ],
    }


@router.get("", summary="Items in the order in which they should be worked")
def page(
    store: TheStore,
    caller: TheCaller,
    graph: Annotated[Short, Query(description="The graph's name.")],
    state: Annotated[ReviewState | None, Query(description="Only items in this state.")] = "open",
    case: Annotated[Short | None, Query(description="Only items of this case.")] = None,
    band: Annotated[Short | None, Query(description="Only items whose score is in this band.")] = None,
    reason: Annotated[Short | None, Query(description="Only items with this reason.")] = None,
    mine: Annotated[bool, Query(description="Only items that you hold.")] = False,
    limit: Limit = 100,
    cursor_: Annotated[After, Query(alias="cursor")] = None,
) -> dict[str, Any]:
    """Escalated items first, then by priority, then the oldest. Items that await your first call are found by no band or
    reason.
    """
    after = None
    if cursor_:
        escalated, priority, age, id_ = read_cursor(cursor_, bool, str, str, str)
        try:
            after = (escalated, float(priority), str(float(age)), UUID(id_))
        except ValueError as error:
            raise Refused(400, 'cursor: give "next" of the page before, unchanged') from error
    wanted = queue.Wanted(
        graph_uid=store.graph(graph).uid,
        state=state,
        case=case,
        reason=reason,
        band=band,
        holder=caller.subject if mine else None,
        now=now(),
        after=after,
        limit=limit,
    )
    with store.connection() as connection:
        items = queue.listed(connection, wanted)
        shown = _for(connection, caller, wanted.graph_uid, items)
        if (band, reason) != (None, None):
            shown = [each for each in shown if not each["awaits_first_call"]]
    following = None
    if len(items) == limit:
        escalated, priority, age, id_ = queue.rank_of(items[-1])
        following = cursor(escalated, str(priority), str(age), str(id_))
    return {"items": shown, "next": following}


@router.post("/golden", status_code=201, summary="Slip in an item whose answer is known")
def golden(body: Golden, store: TheStore, caller: TheCaller) -> dict[str, Any]:
    """It stands in the queue like any other; you cannot claim it, and what is said of it has no effect outside."""
    with store.connection() as connection:
        try:
            behind = explain(connection, body.decision)["decision"]
            review = open_golden(connection, UUID(behind["decision"]), body.verdict, author=caller.subject, now=now())
        except DecisionNotFound as error:
            raise Refused(404, f"decision: {error}") from error
        except UnknownAnswer as error:
            raise Refused(422, str(error)) from error
    return {"review": str(review)}


@router.post("/claim", summary="Claim the case that comes first")
def claim_next(body: ClaimNext, store: TheStore, caller: TheCaller) -> dict[str, Any]:
    """The items of the case; none where nothing waits."""
    lease, graph = timedelta(seconds=body.lease_seconds), store.graph(body.graph)
    with store.connection() as connection:
        items = queue.claim_next(connection, graph.uid, caller.subject, lease=lease, now=now())
        return {"items": _seen_by(connection, caller, items)}


@router.get("/{review}", summary="An item with everything behind its decision")
def one(review: TheReview, store: TheStore, caller: TheCaller) -> Any:
    """The item and its decision; of one that was decided before, what the band did and not what a person had done."""
    with store.connection() as connection:
        item = queue.one(connection, review)
        behind = explain(connection, str(item["decision_id"]))
        marks = personal_case(recorded_revision(connection, item["graph_uid"]))
        (shown,) = _seen_by(connection, caller, [item])
        if item["purpose"] != "First" or item["awaits_second"]:  # who decides it is to be unaware of what was said
            behind = without_what_followed(behind)
        if shown["awaits_first_call"]:
            behind = record_without_view(behind)
        return for_their_eyes(connection, caller, item["decision_id"], {**shown, PERSONAL: marks, "behind": behind})


@router.get("/{review}/explanation", summary="What drove the score, and what each other outcome would do")
def explanation(review: TheReview, store: TheStore, caller: TheCaller) -> Any:
    """Computed on demand from the recorded features and the models of the revision that decided: the features in the order
    of their part in the score, by exact TreeSHAP for tree ensembles and by occlusion for other models.
    """
    with store.connection() as connection:
        item = queue.one(connection, review)
        if hidden_from(connection, caller.subject, [item["decision_id"]]):
            raise Refused(409, "say your first call first: the explanation is hidden until then")
        try:
            found = {"review": str(review), **explained(connection, item["decision_id"])}
        except NotRecorded as error:
            raise Refused(404, f"decision: {error}") from error
        return for_their_eyes(connection, caller, item["decision_id"], found)


@router.post("/{review}/claim", summary="Claim an item and its case")
def claim(review: TheReview, body: Claim, store: TheStore, caller: TheCaller) -> dict[str, Any]:
    """Held until the lease ends; claimed again, it is held longer. 409 where somebody else holds it."""
    with store.connection() as connection:
        lease = timedelta(seconds=body.lease_seconds)
        items = queue.claim(connection, review, caller.subject, lease=lease, now=now())
        return {"items": _seen_by(connection, caller, items)}


@router.post("/{review}/release", summary="Give a case back")
def release(review: TheReview, store: TheStore, caller: TheCaller) -> dict[str, Any]:
    """The number of items that were given back."""
    with store.connection() as connection:
        queue.one(connection, review)
        return {"released": queue.release(connection, review, caller.subject)}


@router.post("/{review}/call", summary="Say a first call, before the model's view is shown")
def call(review: TheReview, body: FirstCall, store: TheStore, caller: TheCaller) -> dict[str, Any]:
    """For the item and the items of its case that you hold and that await one. It is recorded and stands: your verdict may
    differ, with its reason. 409 where nothing is hidden, or you do not hold the case.
    """
    with store.connection() as connection:
        items = first_calls.call(connection, review, body.verdict, caller.subject, now=now())
        return {"items": _seen_by(connection, caller, items)}


@router.post("/{review}/verdict", summary="Decide a case")
def decide(
    review: TheReview, body: GiveVerdict, store: TheStore, caller: TheCaller, counted: TheVerdicts
) -> dict[str, Any]:
    """Ends the items of the case that you hold, and asks for the verdict's actions. The same again changes nothing. 409
    while one of them awaits your first call.
    """
    said, moment = verdicts.Said(verdict=body.verdict, reason=body.reason, reviewer=caller.subject), now()
    with store.connection() as connection:
        items = verdicts.decide(connection, review, said, whole_case=body.scope == "Case", now=moment)
        shown = _seen_by(connection, caller, items)
    for graph in store.graphs():
        counted.said(graph, [each for each in items if _just_decided(each, graph.uid, moment)])
    return {"items": shown}


def _just_decided(item: queue.Item, graph_uid: UUID, moment: datetime) -> bool:
    return (item["graph_uid"], item["decided_at"], item["purpose"]) == (graph_uid, moment, "First")


def _seen_by(connection: Connection, caller: Caller, items: list[queue.Item]) -> list[dict[str, Any]]:
    """Items for the key's subject: without the model's view where they are to say a first call before they see it."""
    hidden = hidden_from(connection, caller.subject, [each["decision_id"] for each in items])
    return [
        {**(without_view(each) if waits else each), "awaits_first_call": waits}
        for each in queue.shown(items, caller.subject)
        for waits in (each["decision_id"] in hidden,)
    ]


def _for(connection: Connection, caller: Caller, graph_uid: UUID, items: list[queue.Item]) -> list[dict[str, Any]]:
    """Items of a graph as the key's subject may see them, personal values masked too."""
    shown = _seen_by(connection, caller, items)
    marks = personal_case(recorded_revision(connection, graph_uid))
    if not marks:
        return shown
    return [for_their_eyes(connection, caller, each["decision_id"], {**each, PERSONAL: marks}) for each in shown]
