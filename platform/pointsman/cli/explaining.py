"""`pointsman explain`: everything behind a decision, or why an object is as it is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pointsman.cli.connection import supervisor
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.objects import KINDS, Output, kind_of
from pointsman.cli.output import Format, out, show, tree


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    what: Annotated[str, typer.Argument(help="A decision's id or its first digits, an event's id, or a kind.")],
    name: Annotated[str | None, typer.Argument(help="With a kind: the object's name.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Explain a decision (event, features, models, score, band, action, effect), or an object's state."""
    with supervisor() as client:
        if name is not None:
            explained = client.explain(kind_of(what), name)
            if output is not Format.TABLE:
                return show(explained, output)
            for line in explained["why"]:
                out().print(line, markup=False)
            for line in explained["next"]:
                out().print(f"→ {line}", markup=False)
            return None
        if what.lower() in {word for kind, others in KINDS.items() for word in (kind.lower(), *others)}:
            raise Failure(f"explain which {kind_of(what)}?", hint=f"pointsman explain {what} NAME", code=Exit.USAGE)
        record = client.explain_decision(what)
    if output is not Format.TABLE:
        return show(record, output)
    tree(told(record))
    return None


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
        story["certificates"] = revision["certificates"]
        story["revision"] = revision["digest"]
    story |= {part: decision[part] for part in ("rules", "lists") if part in decision}
    story["actions"] = [
        {
            "action": f"{each['name']}: {each['operation']} at {each['target']}",
            "id": each["action_id"],
            "parameters": each["parameters"],
            "state": each["state"],
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
