"""`pointsman reviews`: what waits for people, and what they say."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from pointsman.cli.api import Api, of_the_api, watch
from pointsman.cli.output import Format, out, show
from pointsman.cli.pages import Graph, Limit, Output, Watch, page, part, tell

commands = typer.Typer(help="What waits for people.", no_args_is_help=True)

DRIVERS = 5


@commands.command("list")
@of_the_api
def list_reviews(
    api: Api,
    graph: Graph = None,
    state: Annotated[str, typer.Option(help="open, decided or expired.")] = "open",
    case: Annotated[str | None, typer.Option(help="Only items of this case.")] = None,
    band: Annotated[str | None, typer.Option(help="Only items whose score is in this band.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only items with this reason.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only items that you hold.")] = False,
    limit: Limit = 20,
    watching: Watch = False,
    output: Output = Format.TABLE,
) -> None:
    """Items in the order in which they should be worked."""
    name = api.graph(graph)

    def once() -> None:
        found = api.get(
            "/v1/reviews", graph=name, state=state, case=case, band=band, reason=reason, mine=mine, limit=limit
        )
        columns = ("review_id", "case_key", "priority", "reasons", "deadline_at", "lease_owner", "verdict")
        page(found["items"], columns, output)

    watch(once, forever=watching)


@commands.command("count")
@of_the_api
def count_reviews(api: Api, graph: Graph = None, output: Output = Format.TABLE) -> None:
    """How many items wait: by band, reason and age, past their deadline, and held."""
    tell(api.get(f"/v1/graphs/{part(api.graph(graph))}/reviews"), output, dict)


@commands.command("show")
@of_the_api
def show_review(
    api: Api, review: Annotated[str, typer.Argument(help="The item's id.")], output: Output = Format.TABLE
) -> None:
    """An item with everything behind its decision, what drove the score, and what each other outcome would do."""
    from pointsman.cli.explaining import told

    path = f"/v1/reviews/{part(review)}"
    item = api.get(path)
    if output is not Format.TABLE:
        return show(item, output)
    explanation = {}
    if item["awaits_first_call"]:
        explanation["the model's view"] = "hidden until you have said yours: `pointsman reviews call ID VERDICT`"
    else:
        explanation = _explained(api.get(f"{path}/explanation"))
    return tell(
        item,
        output,
        lambda found: {
            **{key: value for key, value in found.items() if key != "behind"},
            "decision": told(found["behind"]),
            **explanation,
        },
    )


def _explained(found: dict[str, Any]) -> dict[str, Any]:
    """The strongest drivers of the score and the alternatives, a line each; `reviews explain` tells more."""
    drivers = (
        f"{each['feature']} = {each['value']}: {each['ofScore']:+.4f} ({each['model']})" for each in found["drivers"]
    )
    rows = map(_outcome, found["alternatives"])
    return {
        "drove the score": [*islice(drivers, DRIVERS), *found["notExplained"]],
        "otherwise": [
            f"{each['by']} {each['name']} {each['scores']}: {each['outcome']}; {', '.join(each['effects']) or 'no action'}"
            for each in rows
        ],
    }


@commands.command("explain")
@of_the_api
def explain_review(
    api: Api,
    review: Annotated[str, typer.Argument(help="The item's id.")],
    most: Annotated[int, typer.Option("--most", min=1, max=500, help="The most features.")] = 10,
    output: Output = Format.TABLE,
) -> None:
    """Which features drove the score, strongest first, and what each other outcome would do."""
    found = api.get(f"/v1/reviews/{part(review)}/explanation")
    if output is not Format.TABLE:
        return show(found, output)
    page(found["drivers"][:most], ("feature", "value", "ofScore", "model"), output)
    out().print()
    models = [
        {**each, "ofScore": f"{each['ofScore']:+.4f}", "compared with": each["comparedWith"]}
        for each in found["models"]
    ]
    page(models, ("node", "version", "method", "answer", "recorded", "ofScore", "compared with"), output)
    for problem in found["notExplained"]:
        out().print(f"not explained: {problem}", markup=False)
    out().print()
    page([_outcome(each) for each in found["alternatives"]], ("by", "name", "scores", "outcome", "effects"), output)
    return None


def _outcome(told: dict[str, Any]) -> dict[str, Any]:
    """An alternative as a row: its scores, and each action with what it would be sent to."""
    least, below = told["fromScore"], told["belowScore"]
    bounds = [f"≥ {least}" if least else "", f"< {below}" if below else ""]
    taken = " (taken)" if told["wasTaken"] else ""
    return {
        **told,
        "scores": " ".join(filter(None, bounds)) or "-",
        "outcome": f"{told['outcome']}{taken}" if told["by"] == "band" else "-",
        "effects": [
            f"{each['action']}: {each['operation']} at {each['target']}"
            + (f" once {each['approvals']} have approved it" if each["approvals"] else "")
            for each in told["effects"]
        ],
    }


@commands.command("claim")
@of_the_api
def claim_review(
    api: Api,
    review: Annotated[str | None, typer.Argument(help="The item; left out, the first of the queue.")] = None,
    graph: Graph = None,
    minutes: Annotated[float, typer.Option(min=0.2, max=60, help="How long to hold the case.")] = 15,
    output: Output = Format.TABLE,
) -> None:
    """Hold an item and its case, so that nobody else decides it."""
    lease = {"leaseSeconds": round(minutes * 60)}
    if review is not None:
        items = api.post(f"/v1/reviews/{part(review)}/claim", lease)["items"]
    else:
        items = api.post("/v1/reviews/claim", {**lease, "graph": api.graph(graph)})["items"]
    if not items and output is Format.TABLE:
        out().print("nothing waits", markup=False)
        return
    page(items, ("review_id", "case_key", "priority", "reasons", "lease_until"), output)


@commands.command("release")
@of_the_api
def release_review(api: Api, review: Annotated[str, typer.Argument(help="The item's id.")]) -> None:
    """Give a case back."""
    out().print(f"{api.post(f'/v1/reviews/{part(review)}/release')['released']} items released", markup=False)


@commands.command("call")
@of_the_api
def call_review(
    api: Api,
    review: Annotated[str, typer.Argument(help="The item's id.")],
    verdict: Annotated[str, typer.Argument(help="One of the graph's verdicts.")],
    output: Output = Format.TABLE,
) -> None:
    """Say what you think of a case that you hold before the model's view is shown, where it is hidden until then."""
    items = api.post(f"/v1/reviews/{part(review)}/call", {"verdict": verdict})["items"]
    page(items, ("review_id", "case_key", "priority", "reasons", "lease_until"), output)


@commands.command("decide")
@of_the_api
def decide_review(
    api: Api,
    review: Annotated[str, typer.Argument(help="The item's id.")],
    verdict: Annotated[str, typer.Argument(help="One of the graph's verdicts.")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is recorded.")],
    item_only: Annotated[bool, typer.Option("--item-only", help="Leave the case's other items open.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Give a verdict on a case that you hold."""
    body = {"verdict": verdict, "reason": reason, "scope": "Item" if item_only else "Case"}
    items = api.post(f"/v1/reviews/{part(review)}/verdict", body)["items"]
    page(items, ("review_id", "case_key", "state", "verdict", "reviewer"), output)


@commands.command("golden")
@of_the_api
def plant_golden(
    api: Api,
    decision: Annotated[str, typer.Argument(help="A decision's id or its first digits, or its event's id.")],
    verdict: Annotated[str, typer.Argument(help="The verdict that is right.")],
) -> None:
    """Slip an item into the queue whose answer is known; reviewers are measured by it, and nothing else follows."""
    made = api.post("/v1/reviews/golden", {"decision": decision, "verdict": verdict})
    out().print(made["review"], markup=False)


@commands.command("measures")
@of_the_api
def measure_reviewers(
    api: Api,
    graph: Graph = None,
    days: Annotated[float, typer.Option(min=0.01, max=3650, help="Verdicts of so many days until now.")] = 30,
    output: Output = Format.TABLE,
) -> None:
    """How far reviewers agree beyond chance, with each other and with known answers, and how long they take."""
    found = api.get(f"/v1/graphs/{part(api.graph(graph))}/reviewers", days=days)
    if output is not Format.TABLE:
        return show(found, output)
    page(
        found["reviewers"],
        ("reviewer", "verdicts", "p50_seconds", "p95_seconds", "golden", "golden_right"),
        output,
    )
    out().print()
    page(found["pairs"], ("reviewers", "items", "agreed", "kappa"), output)
    alpha = _figure(found["alpha"])
    out().print(
        f"\nKrippendorff's alpha {alpha}, over {found['items_seen_twice']} decisions that two or more saw", markup=False
    )
    anchoring = found["anchoring"]
    before, after, shown = (_figure(anchoring[f"follow_{name}"]) for name in ("before", "after", "shown"))
    out().print(
        f"first calls {anchoring['items']}, kept {anchoring['kept']}; the model's score is followed {before} before it is "
        f"shown, {after} after, {shown} where it was shown at once (0.5 is not at all)",
        markup=False,
    )
    return None


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
