"""Runs a command as the owner of a namespace's store, in a Job, and waits for it: for commands of `pointsman`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pointsman.cli.errors import Exit, Failure
from pointsman_operator import names
from pointsman_operator.cluster.client import Cluster
from pointsman_operator.resources.graphs.owners_job import owners_job
from pointsman_operator.seen import JOB, POD, Raw

AGAIN_SECONDS = 0.5


async def run_as_owner(cluster: Cluster, namespace: str, command: Sequence[str]) -> None:
    """Raises Failure with what the command said where it did not end well."""
    found, _ = await cluster.list(JOB, {"labelSelector": f"{names.PART}=migrate"}, namespace)
    if not found:
        message = f'the namespace "{namespace}" has no Job of ours that migrates its store'
        hint = "a DecisionGraph or an ActionTarget there makes one: `pointsman get`; -n names another namespace"
        raise Failure(message, hint=hint, code=Exit.NOT_FOUND)
    newest = max(found, key=lambda each: str(each["metadata"]["creationTimestamp"]))
    made: Raw = await cluster.create(JOB, owners_job(newest, namespace, command))
    name = str(made["metadata"]["name"])
    try:
        while not (ended := _ended(await cluster.read(JOB, namespace, name))):
            await asyncio.sleep(AGAIN_SECONDS)
        if ended != "Complete":
            raise Failure(await _said(cluster, namespace, name))
    finally:
        await cluster.delete(JOB, made)


def _ended(job: Raw) -> str:
    """Complete or Failed once it is."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    said = [str(each["type"]) for each in conditions if each["status"] == "True"]
    return next((each for each in said if each in ("Complete", "Failed")), "")


async def _said(cluster: Cluster, namespace: str, job: str) -> str:
    pods, _ = await cluster.list(POD, {"labelSelector": f"job-name={job}"}, namespace)
    states = [each for pod in pods for each in (pod.get("status") or {}).get("containerStatuses") or ()]
    messages = [str(((each.get("state") or {}).get("terminated") or {}).get("message") or "") for each in states]
    lines = [line for text in messages for line in text.splitlines() if line.strip()]
    waiting = f"its pod did not end in time: kubectl describe job {job} -n {namespace} says why"
    return lines[-1] if lines else waiting
