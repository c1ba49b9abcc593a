"""`pointsman decisions`, `reviews`, `deadletters`, `lists` and `keys`: what the API keeps, and what people do with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.api import Api, watch
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, out, show, table, tree

Output = Annotated[Format, typer.Option("-o", "--output", help="How to print.")]
Graph = Annotated[str | None, typer.Option("--graph", "-g", help="The graph; may be left out where there is one.")]
Watch = Annotated[bool, typer.Option("-w", "--watch", help="Show again every two seconds, until Ctrl-C.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="The most rows.")]

decisions = typer.Typer(help="What was decided.", no_args_is_help=True)
reviews = typer.Typer(help="What waits for people.", no_args_is_help=True)
deadletters = typer.Typer(help="What broke its contract.", no_args_is_help=True)
lists = typer.Typer(help="Block and allow lists; in effect within seconds.", no_args_is_help=True)
keys = typer.Typer(help="API keys.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the groups of commands."""
    for name, group in (
        ("decisions", decisions),
        ("reviews", reviews),
        ("deadletters", deadletters),
        ("lists", lists),
        ("keys", keys),
    ):
        app.add_typer(group, name=name)


@decisions.command("list")
def list_decisions(
    graph: Graph = None,
    outcome: Annotated[str | None, typer.Option(help="Only this outcome.")] = None,
    band: Annotated[str | None, typer.Option(help="Only this band.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only with this reason.")] = None,
    limit: Limit = 20,
    watching: Watch = False,
    output: Output = Format.TABLE,
) -> None:
    """The newest decisions."""
    api = Api()
    name = api.graph(graph)

    def once() -> None:
        page = api.get("/v1/decisions", graph=name, outcome=outcome, band=band, reason=reason, limit=limit)
        _print(page["items"], ("decision", "id", "outcome", "band", "score", "reasons", "decided_at"), output)

    watch(once, forever=watching)


@decisions.command("show")
def show_decision(
    decision: Annotated[str, typer.Argument(help="A decision's id or its first digits, or its event's id.")],
    output: Output = Format.TABLE,
) -> None:
    """Everything behind one decision."""
    from pointsman.cli.explaining import told

    _tell(Api().get(f"/v1/decisions/{_part(decision)}"), output, told)


@reviews.command("list")
def list_reviews(
    graph: Graph = None,
    state: Annotated[str, typer.Option(help="open, decided or expired.")] = "open",
    case: Annotated[str | None, typer.Option(help="Only items of this case.")] = None,
    limit: Limit = 20,
    watching: Watch = False,
    output: Output = Format.TABLE,
) -> None:
    """Items in the order in which they should be worked."""
    api = Api()
    name = api.graph(graph)

    def once() -> None:
        page = api.get("/v1/reviews", graph=name, state=state, case=case, limit=limit)
        columns = ("review_id", "case_key", "priority", "reasons", "deadline_at", "lease_owner", "verdict")
        _print(page["items"], columns, output)

    watch(once, forever=watching)


@reviews.command("show")
def show_review(review: Annotated[str, typer.Argument(help="The item's id.")], output: Output = Format.TABLE) -> None:
    """An item with everything behind its decision."""
    from pointsman.cli.explaining import told

    def order(item: dict[str, Any]) -> dict[str, Any]:
        return {**{key: value for key, value in item.items() if key != "behind"}, "decision": told(item["behind"])}

    _tell(Api().get(f"/v1/reviews/{_part(review)}"), output, order)


@reviews.command("claim")
def claim_review(
    review: Annotated[str | None, typer.Argument(help="The item; left out, the first of the queue.")] = None,
    graph: Graph = None,
    minutes: Annotated[float, typer.Option(min=0.2, max=60, help="How long to hold the case.")] = 15,
    output: Output = Format.TABLE,
) -> None:
    """Hold an item and its case, so that nobody else decides it."""
    api, lease = Api(), {"leaseSeconds": round(minutes * 60)}
    if review is not None:
        items = api.post(f"/v1/reviews/{_part(review)}/claim", lease)["items"]
    else:
        items = api.post("/v1/reviews/claim", {**lease, "graph": api.graph(graph)})["items"]
    if not items and output is Format.TABLE:
        out().print("nothing waits", markup=False)
        return
    _print(items, ("review_id", "case_key", "priority", "reasons", "lease_until"), output)


@reviews.command("release")
def release_review(review: Annotated[str, typer.Argument(help="The item's id.")]) -> None:
    """Give a case back."""
    out().print(f"{Api().post(f'/v1/reviews/{_part(review)}/release')['released']} items released", markup=False)


@reviews.command("decide")
def decide_review(
    review: Annotated[str, typer.Argument(help="The item's id.")],
    verdict: Annotated[str, typer.Argument(help="One of the graph's verdicts.")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is recorded.")],
    item_only: Annotated[bool, typer.Option("--item-only", help="Leave the case's other items open.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Give a verdict on a case that you hold."""
    body = {"verdict": verdict, "reason": reason, "scope": "Item" if item_only else "Case"}
    items = Api().post(f"/v1/reviews/{_part(review)}/verdict", body)["items"]
    _print(items, ("review_id", "case_key", "state", "verdict", "reviewer"), output)


@deadletters.command("list")
def list_dead_letters(
    graph: Graph = None,
    state: Annotated[str, typer.Option(help="open, replayed or discarded.")] = "open",
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    limit: Limit = 20,
    watching: Watch = False,
    output: Output = Format.TABLE,
) -> None:
    """The newest dead letters."""
    api = Api()
    name = api.graph(graph)

    def once() -> None:
        page = api.get("/v1/deadletters", graph=name, state=state, reason=reason, limit=limit)
        _print(page["items"], ("id", "event_id", "reason", "place", "at", "message"), output)

    watch(once, forever=watching)


@deadletters.command("show")
def show_dead_letter(letter: Annotated[str, typer.Argument(help="Its id.")], output: Output = Format.TABLE) -> None:
    """A dead letter with the event as it came in."""
    _tell(Api().get(f"/v1/deadletters/{_part(letter)}"), output)


@deadletters.command("replay")
def replay_dead_letter(
    letter: Annotated[str, typer.Argument(help="Its id.")],
    event: Annotated[Path | None, typer.Option("--event", help="A JSON file with the event, corrected.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Send a dead letter again, as it is or corrected."""
    body: dict[str, object] = {}
    if event is not None:
        import orjson

        try:
            body["event"] = orjson.loads(event.read_bytes())
        except (OSError, orjson.JSONDecodeError) as error:
            raise Failure(f"not a JSON file: {event}: {error}", code=Exit.USAGE) from error
    _tell(Api().post(f"/v1/deadletters/{_part(letter)}/replay", body), output)


@deadletters.command("discard")
def discard_dead_letter(letter: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Set a dead letter aside; it stays stored and counted."""
    out().print(Api().post(f"/v1/deadletters/{_part(letter)}/discard")["state"], markup=False)


@lists.command("show")
def show_lists(
    name: Annotated[str | None, typer.Argument(help="Only this list.")] = None,
    graph: Graph = None,
    watching: Watch = False,
    output: Output = Format.TABLE,
) -> None:
    """What stands in a graph's lists."""
    api = Api()
    path = f"/v1/graphs/{_part(api.graph(graph))}/lists"

    def once() -> None:
        found = api.get(path, name=name)["lists"]
        rows = [{"list": each["name"], "type": each["type"], **entry} for each in found for entry in each["entries"]]
        _print(rows, ("list", "type", "value", "author", "expiresAt", "comment"), output)

    watch(once, forever=watching)


@lists.command("add")
def add_to_list(
    name: Annotated[str, typer.Argument(help="The list.")],
    value: Annotated[str, typer.Argument(help="The value.")],
    graph: Graph = None,
    expires: Annotated[str | None, typer.Option(help="After how long it counts no more, such as 24h.")] = None,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; it is recorded.")] = "",
) -> None:
    """Put a value in a list."""
    api = Api()
    body = {"value": value, "comment": comment, "expiresAt": _in(expires)}
    answer = api.post(f"/v1/graphs/{_part(api.graph(graph))}/lists/{_part(name)}", body)
    out().print("added" if answer["changed"] else "it stands there already", markup=False)


@lists.command("remove")
def remove_from_list(
    name: Annotated[str, typer.Argument(help="The list.")],
    value: Annotated[str, typer.Argument(help="The value.")],
    graph: Graph = None,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; it is recorded.")] = "",
) -> None:
    """Take a value out of a list."""
    api = Api()
    api.delete(f"/v1/graphs/{_part(api.graph(graph))}/lists/{_part(name)}", value=value, comment=comment)
    out().print("removed", markup=False)


@keys.command("list")
def list_keys(output: Output = Format.TABLE) -> None:
    """All keys; their text is not kept."""
    columns = ("key_id", "name", "role", "created_at", "expires_at", "revoked_at")
    _print(Api().get("/v1/keys")["items"], columns, output)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is; reviewers are known by it.")],
    role: Annotated[str, typer.Option(help="viewer, service, reviewer, operator or admin.")],
    expires: Annotated[str | None, typer.Option(help="After how long it opens nothing, such as 720h.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a key; it is shown this once."""
    made = Api().post("/v1/keys", {"name": name, "role": role, "expiresAt": _in(expires)})
    if output is not Format.TABLE:
        return show(made, output)
    out().print(made["key"], markup=False)
    return None


@keys.command("revoke")
def revoke_key(key: Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")]) -> None:
    """End a key; it opens nothing from two seconds later on."""
    Api().delete(f"/v1/keys/{_part(key)}")
    out().print("revoked", markup=False)


def _print(items: Sequence[dict[str, Any]], columns: Sequence[str], output: Format) -> None:
    if output is not Format.TABLE:
        return show(list(items), output)
    headings = [column.removesuffix("_id").removesuffix("_at").removesuffix("_key") for column in columns]
    return table(headings, [[_cell(each.get(column)) for column in columns] for each in items])


def _tell(value: dict[str, Any], output: Format, order: Any = lambda value: value) -> None:
    if output is not Format.TABLE:
        return show(value, output)
    return tree(order(value))


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _part(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _in(duration: str | None) -> str | None:
    """The moment that lies so far ahead. Raises Failure."""
    if duration is None:
        return None
    from datetime import timedelta

    from pointsman.api.values import Duration

    try:
        microseconds = Duration(duration).microseconds
    except ValueError as error:
        raise Failure(f"--expires: {error}", code=Exit.USAGE) from error
    return (datetime.now(UTC) + timedelta(microseconds=microseconds)).isoformat()
