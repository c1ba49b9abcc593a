"""What our dashboards and alerts ask Prometheus, read from the manifests as a user gets them, and whether it has answers."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import yaml

from harness.prometheus import Prometheus
from harness.waiting import wait_for

MONITORING = Path(__file__).parents[3] / "manifests" / "monitoring"
RULES = MONITORING / "rules.yaml"
CHOSEN = {"$namespace": ".*", "$graph": ".*", "$__rate_interval": "1m", "$__range": "1h"}
"""What Grafana puts in for "All", and for times"""
SELECTOR = re.compile(r"pointsman_\w+(?:\{[^}]*\})?")


RARE = re.compile("pointsman_(band|approvals)_")
"""Series that are there once a band was certified or demoted, or while an action waits for approval"""


def in_good_times() -> dict[str, str]:
    """What has an answer while the example runs well, by its place: the dashboards' queries, what graphs' alerts are made of."""
    everything = by_dashboards() | {each: each for each in by_alerts("pointsman-graphs")}
    return {place: query for place, query in everything.items() if not RARE.search(query)}


def by_dashboards() -> dict[str, str]:
    """Every query, by its dashboard, panel and name."""
    found = dict[str, str]()
    for file in sorted((MONITORING / "dashboards").glob("pointsman-*.yaml")):
        (text,) = yaml.safe_load(file.read_text())["data"].values()
        dashboard = json.loads(text)
        for place, query in _queries(dashboard):
            assert place not in found
            found[place] = query
    return found


def by_alerts(group: str) -> set[str]:
    """Every selection of series that an alert of the group is made of."""
    (rules,) = (each["rules"] for each in yaml.safe_load(RULES.read_text())["groups"] if each["name"] == group)
    return {selector for rule in rules for selector in SELECTOR.findall(rule["expr"])}


def answered(server: Prometheus, queries: Mapping[str, str], work: Callable[[], None], seconds: float = 120) -> None:
    """Work until each query had an answer once. Fails with the queries, by their places, that had none."""
    left = dict(queries)

    def all_are() -> bool:
        work()
        for place in [place for place, query in left.items() if server.ask(query)]:
            del left[place]
        return not left

    try:
        wait_for("every query has an answer", all_are, seconds=seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}: {left}") from None


def work(address: str, headers: Mapping[str, str], at: str = "2026-04-05T01:00:00Z") -> None:
    """Something of everything that is counted: decided alone and in company, again, late, broken, by a person.

    `address` is the gateway's, or the API's; the fraud example runs behind it, and cases wait for people. `at` is after what
    it has decided.
    """
    id_ = f"work-{time.time_ns()}"
    with httpx2.Client(base_url=f"{address}/v1", headers=headers, timeout=30, trust_env=False) as client:

        def post(path: str, body: object) -> Any:
            return client.post(path, json=body).raise_for_status().json()

        def decide(number: str, occurred_at: str = at) -> Any:
            names = {"card_id": "card-x", "terminal_id": "terminal-x", "card_account": "account-x"}
            event = {"transaction_id": f"{id_}{number}", "occurred_at": occurred_at, "amount": "12.50", **names}
            return post("graphs/card-fraud/decisions", event)

        assert "duplicate" not in decide("")
        assert decide("")["duplicate"]
        assert "LateEvent" in decide("-late", "2026-04-01T01:00:00Z")["reasons"]
        broken = post("graphs/card-fraud/decisions", {"events": [{"transaction_id": f"{id_}-broken"}]})
        assert broken["deadLetters"] == 1
        (first, *_) = post("reviews/claim", {"graph": "card-fraud"})["items"]
        verdict = {"verdict": random.choice(("fraud", "legitimate")), "reason": "the holder was asked"}
        post(f"reviews/{first['review_id']}/verdict", verdict)


def _queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for variable, value in CHOSEN.items():
                query = query.replace(variable, value)
            assert "$" not in query, query
            yield f"{dashboard['title']} / {panel['id']} {panel['title']} / {target['refId']}", query
