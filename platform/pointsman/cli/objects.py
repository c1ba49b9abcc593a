"""`pointsman apply`, `get`, `describe` and `delete`: the kinds, as kubectl shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.connection import supervisor
from pointsman.cli.errors import Exit, Failure
from pointsman.cli.output import Format, err, out, show, table, tree
from pointsman.cli.worlds import Context, Kubeconfig, Namespace, Place, world

KINDS = {
    "EventStream": ("eventstream", "eventstreams", "pes"),
    "FeatureView": ("featureview", "featureviews", "pfv"),
    "ModelDeployment": ("modeldeployment", "modeldeployments", "pmd"),
    "ActionTarget": ("actiontarget", "actiontargets", "pat"),
    "DecisionGraph": ("decisiongraph", "decisiongraphs", "pdg"),
    "Deployment": ("deployment", "deployments", "deploy"),
    "Service": ("service", "services", "svc"),
    "Secret": ("secret", "secrets"),
}
"""Every kind with the other names it goes by."""

COLUMNS: dict[str, dict[str, str]] = {
    "ModelDeployment": {"version": "version", "digest": "digest", "replicas": "readyReplicas"},
    "DecisionGraph": {"revision": "revision", "automatic": "automaticShare", "address": "address"},
    "FeatureView": {"version": "version", "newest event": "freshness"},
    "EventStream": {"contract": "contractVersion"},
    "ActionTarget": {"reachable": "reachable"},
}
"""What `get` shows of a kind's status beside Ready: heading → field."""

Output = Annotated[Format, typer.Option("-o", "--output", help="How to print.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(apply)
    app.command()(get)
    app.command()(describe)
    app.command()(delete)


def kind_of(word: str) -> str:
    """The kind that a word on the command line means. Raises Failure with the nearest one."""
    for kind, others in KINDS.items():
        if word.lower() in (kind.lower(), *others):
            return kind
    from difflib import get_close_matches

    known = {name: kind for kind, others in KINDS.items() for name in others}
    close = get_close_matches(word.lower(), known, n=1)
    hint = f"did you mean {known[close[0]]}?" if close else f"there are {', '.join(KINDS)}"
    raise Failure(f'no kind is called "{word}"', hint=hint, code=Exit.USAGE)


def apply(
    file: Annotated[list[Path], typer.Option("-f", "--file", help="A file, or a folder of *.yaml; may be repeated.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait until what was applied is Ready; 0 does not wait.")] = 0,
    output: Output = Format.TABLE,
) -> None:
    """Apply documents: create what is new, configure what changed, leave alone what is the same."""
    documents = read_documents(file)
    with supervisor() as client:
        results = client.apply(documents, dry_run=dry_run)
        if output is Format.TABLE:
            for each in results:
                out().print(f"{each['kind']}/{each['name']} {each['result']}", markup=False)
        else:
            show({"results": results}, output)
        if wait and not dry_run:
            with err().status("waiting until all is Ready", spinner="dots") as spinner:
                ready = client.wait_ready(wait, on_change=lambda text: spinner.update(text))
            if not ready:
                raise Failure(
                    f"applied, but not everything was Ready within {wait:.0f} s",
                    hint="`pointsman get` says what waits",
                    code=Exit.NOT_READY,
                )


def read_documents(files: list[Path]) -> list[dict[str, Any]]:
    """Read and validate documents. Raises Failure that names every mistake."""
    from pointsman.api.documents import InvalidDocuments, load, plain

    try:
        return [plain(each) for each in load(files)]
    except InvalidDocuments as error:
        for each in error.errors[:-1]:
            err().print(f"error: {each}", style="red", markup=False)
        last = error.errors[-1]
        raise Failure(str(last)) from error
    except FileNotFoundError as error:
        raise Failure(f"no such file or folder: {error.filename}", code=Exit.NOT_FOUND) from error


def get(
    kind: Annotated[str | None, typer.Argument(help="A kind; all kinds where it is left out.")] = None,
    name: Annotated[str | None, typer.Argument(help="One object's name.")] = None,
    output: Output = Format.TABLE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List objects with what one asks first: the local runtime's or a cluster's, as for `pointsman explain`."""
    wanted = None if kind is None else kind_of(kind)
    with world(Place(context=context, namespace=namespace, kubeconfig=kubeconfig)) as asked:
        if wanted is not None and name is not None:
            items = [asked.get(wanted, name)]
        else:
            items = asked.objects(wanted)
    if output is not Format.TABLE:
        return show(items[0] if name is not None else {"items": items}, output)
    if not items:
        out().print(
            "nothing is applied yet: `pointsman apply -f FOLDER`, on a cluster `kubectl apply -f FOLDER`", markup=False
        )
        return None
    columns = COLUMNS.get(wanted or "", {})
    shown = [] if wanted else ["kind"]
    table(
        [*shown, "name", *columns, "ready", "reason", "message"],
        [
            [
                *([each["kind"]] if not wanted else []),
                each["metadata"]["name"],
                *(_short(each.get("status", {}).get(field)) for field in columns.values()),
                *_ready(each),
            ]
            for each in items
        ],
    )
    return None


def describe(
    kind: Annotated[str, typer.Argument(help="The kind.")],
    name: Annotated[str, typer.Argument(help="The name.")],
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show an object whole: its spec, its status, and its conditions in words."""
    with world(Place(context=context, namespace=namespace, kubeconfig=kubeconfig)) as asked:
        document = asked.get(kind_of(kind), name)
    tree({key: document[key] for key in ("apiVersion", "kind", "metadata", "spec", "status") if key in document})


def delete(
    kind: Annotated[str, typer.Argument(help="The kind.")],
    name: Annotated[str, typer.Argument(help="The name.")],
    force: Annotated[bool, typer.Option("--force", help="Also where something still refers to it.")] = False,
) -> None:
    """Delete an object; its processes end. What was recorded stays."""
    wanted = kind_of(kind)
    with supervisor() as client:
        client.delete(wanted, name, force=force)
    out().print(f"{wanted}/{name} deleted", markup=False)


def _ready(document: dict[str, Any]) -> tuple[str, str, str]:
    conditions = document.get("status", {}).get("conditions", [])
    for each in conditions:
        if each["type"] == "Ready":
            return each["status"], each["reason"], each["message"]
    return "-", "-", ""


def _short(value: Any) -> str:
    if value is None:
        return "-"
    text = str(value)
    return f"{text[7:19]}" if text.startswith("sha256:") else text
