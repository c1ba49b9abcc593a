"""`pointsman explain`: everything behind a decision, or why an object is as it is, down to the line that is to blame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from pointsman.cli.api import Api, Key
from pointsman.cli.connection import supervisor
from pointsman.cli.objects import Output
from pointsman.cli.output import Format, out, show, tree
from pointsman.cli.pages import part
from pointsman.cli.worlds import Context, Kubeconfig, Namespace, Place, is_on_a_cluster, object_of, world

MARKS = {"cause": "  ◀ the cause", "waits": "  ◀ waits here"}
STYLES = {"cause": "bold red", "waits": "bold yellow"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    what: Annotated[
        str,
        typer.Argument(help="KIND/NAME of an object; or a decision's id or its first digits, or an event's id."),
    ],
    name: Annotated[str | None, typer.Argument(help="The object's name, where only its kind stands before.")] = None,
    output: Output = Format.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    key: Key = None,
) -> None:
    """Explain an object's state down to the line that is to blame, or a decision (event, features, score, action).

    They are those of the local runtime while it runs. They are a cluster's with -n, --context or --kubeconfig, as
    `kubectl pointsman explain`, and where no local runtime runs and a kubeconfig is there; a decision is asked for with a key.
    """
    found, place = object_of(what, name), Place(context=context, namespace=namespace, kubeconfig=kubeconfig)
    if found is None:
        return _explain_decision(what, place, key, output)
    with world(place) as asked:
        explained = asked.explain(*found)
    if output is not Format.TABLE:
        return show(explained, output)
    _print(explained)
    return None


def _explain_decision(wanted: str, place: Place, key: str | None, output: Format) -> None:
    if is_on_a_cluster(place):
        record = Api(place, key).get(f"/v1/decisions/{part(wanted)}")
    else:
        with supervisor() as client:
            record = client.explain_decision(wanted)
    if output is not Format.TABLE:
        return show(record, output)
    tree(told(record))
    return None


def _print(explained: dict[str, Any]) -> None:
    from rich.text import Text

    for text, mark in drawn(explained["tree"]):
        out().print(Text(text, style=STYLES.get(mark, "")))
    out().print(Text(f"\n{explained['reason']}: {explained['meaning']}", style="bold"))
    out().print(Text(f"→ {explained['next']}"))
    if explained["more"]:
        out().print(Text(f"→ more: {explained['more']}"))


def drawn(line: dict[str, Any], first: str = "", rest: str = "") -> Iterator[tuple[str, str]]:
    """The lines of the tree with their branches, each with its mark."""
    yield f"{first}{line['what']}: {line['state']}{MARKS.get(line['mark'], '')}", line["mark"]
    below = line["below"]
    for place, each in enumerate(below):
        is_last = place == len(below) - 1
        yield from drawn(each, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "))


def told(record: dict[str, Any]) -> dict[str, Any]:
    """A decision's record in the order in which a reader asks."""
    decision, event, revision = record["decision"], record["event"], record["revision"]
    story: dict[str, Any] = {
        "decision": decision["decision"],
        "outcome": decision["outcome"],
        "band": decision["band"],
        "score": decision["score"],
        "reasons": decision["reasons"],
        "decided at": decision["decidedAt"],
        "sequence number": decision["seq"],
    }
    if event is not None:
        story["event"] = {
            "digest": f"{event['digest']} ({'holds' if event['digestHolds'] else 'DOES NOT HOLD'})",
            "raw": event["raw"],
        }
    if revision is not None:
        story["contract"] = revision["contract"]
        story["values"] = {
            node: {
                **({"model": revision["models"][node]} if node in revision["models"] else {}),
                **{
                    name.partition(".")[2]: value
                    for name, value in decision["values"].items()
                    if name.partition(".")[0] == node
                },
            }
            for node in dict.fromkeys(name.partition(".")[0] for name in decision["values"])
        }
        story["view versions"] = revision["views"]
        story["score expression"] = revision["score"]
        story["certificates"] = [
            f"{each['reason']}: {each['message']} ({each['certificate'] or '-'})" for each in record["certificates"]
        ] or revision["certificates"]
        story["revision"] = revision["digest"]
    story |= {part: decision[part] for part in ("rules", "lists") if part in decision}
    story["actions"] = [
        {
            "action": f"{each['name']}: {each['operation']} at {each['target']}",
            "id": each["action_id"],
            "parameters": each["parameters"],
            "state": each["state"],
            **({"asked for by": each["proposer"]} if each["people"] else {}),
            **({"approvals": [_said(said) for said in each["approvals"]]} if each["people"] else {}),
            "effects": [
                f"{effect['at']} {effect['state']} (attempt {effect['attempt']}, HTTP {effect['http_status'] or '-'})"
                for effect in each["effects"]
            ],
        }
        for each in record["actions"]
    ]
    story["review"] = record["review"]
    proof = record["ledger"]
    if proof is not None:
        story["ledger"] = f"leaf {proof['index']} {proof['leaf']} ({'holds' if proof['holds'] else 'DOES NOT HOLD'})"
    return story


def _said(approval: dict[str, Any]) -> str:
    return f"{approval['at']} {approval['approver']} {'approved' if approval['approved'] else 'refused'}: {approval['reason']}"
