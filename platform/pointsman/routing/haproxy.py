"""HAProxy's configuration for a routing, and what HAProxy is told while it runs. Pure: the same routing, the same text.

Whatever a user wrote stands here as HAProxy's escapes and nothing else, so that no value is taken for configuration.
"""

from __future__ import annotations

from collections.abc import Iterator

from pointsman.routing.routes import Backend, Equal, Match, Routing, Rule, Server

BUFFER_BYTES = 65536
"""Of a request this much is kept: a larger one is not sent again when a server has refused it"""
LAST_SECONDS = 60
"""For so long a process that was replaced goes on with the requests it has"""
STARTING = (
    "http-response return status 503 content-type application/json hdr retry-after 2 "
    'lf-string \'{"error":"the graph is being started: try again"}\' if { status 404 }'
)
"""A graph's own ingress knows the path of its decisions; what answers 404 is Ray's proxy, while the graph has no replica."""
UNKNOWN, BROKEN = "no-route", "no-backend"
"""Backends of our own: requests that no rule is for, and rules that name a backend that is not there"""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._~:@=+-")
_DEFAULTS = f"""\
global
    maxconn 4096
    nbthread 1
    tune.bufsize {BUFFER_BYTES}
    hard-stop-after {LAST_SECONDS}s
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    retries 3
    retry-on conn-failure
    option redispatch 1
    option idle-close-on-response
    http-reuse always
    http-error status 502 content-type application/json string '{{"error":"the server went away: ask again"}}'
    http-error status 503 content-type application/json string '{{"error":"no server is up: try again"}}' hdr retry-after 2
    http-error status 504 content-type application/json string '{{"error":"the server did not answer in time"}}'
"""
_OWN = f"""\
backend {UNKNOWN}
    http-request return status 404 content-type application/json string '{{"error":"no route is for this host and path"}}'
backend {BROKEN}
    http-request return status 500 content-type application/json string \
'{{"error":"the route names a backend that is not there: its status says which"}}'
"""


def render(routing: Routing, *, bind: str, metrics: str | None = None) -> str:
    """The configuration. `bind` and `metrics` (for Prometheus, with /healthz) are addresses as HAProxy has them."""
    lines = ["frontend pointsman", f"    bind {bind}"]
    for number, rule in enumerate(routing.rules):
        lines += _rule(number, rule)
    lines.append(f"    default_backend {UNKNOWN}")
    for backend in routing.backends:
        lines += _backend(backend)
    if metrics is not None:
        lines += [
            "frontend metrics",
            f"    bind {metrics}",
            "    monitor-uri /healthz",
            "    http-request use-service prometheus-exporter if { path /metrics }",
            "    http-request return status 404",
        ]
    return _DEFAULTS + "\n".join(lines) + "\n" + _OWN


def admit(backend: Backend, server: Server) -> tuple[str, ...]:
    """What tells a running HAProxy of a server. The first command fails where it had not quite gone; the others hold."""
    name = f"{backend.name}/{_name(server)}"
    return (f"add server {name} {server.address}{_options(server)}", f"enable health {name}", f"enable server {name}")


def dismiss(backend: Backend, server: Server) -> tuple[str, ...]:
    """What makes a running HAProxy ask a server no more. What it is answering goes on; it is gone once that is over."""
    name = f"{backend.name}/{_name(server)}"
    return (f"set server {name} state maint", f"del server {name}")


def escaped(value: str) -> str:
    """A value as one word of the configuration."""
    return "".join(each if each in _PLAIN else "".join(f"\\x{byte:02x}" for byte in each.encode()) for each in value)


def _rule(number: int, rule: Rule) -> Iterator[str]:
    conditions = list(_acls(number, rule.match))
    for name, criterion in conditions:
        yield f"    acl {name} {criterion}"
    when = " ".join(dict.fromkeys(name for name, _ in conditions))
    parts = [part for part in rule.parts if part.weight > 0]
    left = sum(part.weight for part in parts)
    for part in parts:
        share = "" if part.weight == left else f"{{ rand({left}) lt {part.weight} }}"
        condition = " ".join(filter(None, (when, share)))
        yield f"    use_backend {part.backend or BROKEN}" + (f" if {condition}" if condition else "")
        left -= part.weight
    if not parts:
        yield f"    use_backend {BROKEN}" + (f" if {when}" if when else "")


def _acls(number: int, match: Match) -> Iterator[tuple[str, str]]:
    """Named conditions: those of one name are alternatives."""
    if match.host is not None:
        how, host = ("end", match.host[1:]) if match.host.startswith("*.") else ("str", match.host)
        yield f"host-{number}", f"req.hdr(host),host_only,lower -m {how} -- {escaped(host.lower())}"
    if match.exact:
        yield f"path-{number}", f"path -m str -- {escaped(match.path)}"
    elif match.path.rstrip("/"):
        path = escaped(match.path.rstrip("/"))
        yield f"path-{number}", f"path -m str -- {path}"
        yield f"path-{number}", f"path -m beg -- {path}/"
    if match.method is not None:
        yield f"method-{number}", f"method -m str -- {escaped(match.method)}"
    for place, header in enumerate(match.headers):
        yield f"header-{number}-{place}", f"req.fhdr({header.name}) {_equals(header)}"
    for place, parameter in enumerate(match.query):
        yield f"query-{number}-{place}", f"url_param({parameter.name}),url_dec(1) {_equals(parameter)}"


def _equals(wanted: Equal) -> str:
    return f"-m str -- {escaped(wanted.value)}"


def _backend(backend: Backend) -> Iterator[str]:
    yield f"backend {backend.name}"
    if backend.decisions:
        yield "    option http-buffer-request"  # only a request that is whole can be sent again
        yield "    retry-on conn-failure empty-response 503"
        yield f"    {STARTING}"
    for server in backend.servers:
        yield f"    server {_name(server)} {server.address}{_options(server)}"


def _name(server: Server) -> str:
    return server.address.replace("[", "").replace("]", "")


def _options(server: Server) -> str:
    checked = " check inter 1s fall 1 rise 1" if server.checked else ""
    return checked + " on-marked-down shutdown-sessions" * server.ends_requests + " backup" * server.backup
