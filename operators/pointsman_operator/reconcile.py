"""The reconcile of one ModelDeployment: observe, decide, carry out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars

from pointsman.api.conditions import Condition
from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.reasons import Reason
from pointsman.deployments import plan
from pointsman.deployments.plan import Plan
from pointsman.planning import Told, judge, written
from pointsman.registry.write_back import WriteBack
from pointsman_operator import names
from pointsman_operator.carry_out import Writer
from pointsman_operator.causes.cause import condition
from pointsman_operator.cluster.caches import Caches
from pointsman_operator.cluster.memory import Key
from pointsman_operator.cluster.nodes import Nodes
from pointsman_operator.desired import desired, writes
from pointsman_operator.graphs.in_use import in_use
from pointsman_operator.happened import happened
from pointsman_operator.observe import observe
from pointsman_operator.prober import Prober, Target
from pointsman_operator.reading import Unreadable, read
from pointsman_operator.references import References
from pointsman_operator.seen import INFERENCE_SERVICE, MODEL_DEPLOYMENT, POD, Raw, Seen
from pointsman_operator.settings import Settings

log = structlog.get_logger()


class Reconciler:
    """Reconciles any ModelDeployment. `graphs` knows the DecisionGraphs of a namespace; `again` is asked to look at one again,
    at once or after some seconds.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        caches: Caches,
        writer: Writer,
        references: References,
        nodes: Nodes,
        write_back: WriteBack,
        prober: Prober,
        graphs: Callable[[str], Sequence[Raw]],
        again: Callable[[Key, float], None],
    ) -> None:
        self._settings, self._caches, self._writer = settings, caches, writer
        self._references, self._write_back = references, write_back
        self._nodes, self._prober, self._graphs, self._again = nodes, prober, graphs, again

    async def reconcile(self, key: Key) -> None:
        """Bring the cluster nearer to what the spec asks for. Raises ClusterError where it is to be tried again."""
        seen = self._caches.seen(key)
        if seen is None or seen.deployment["metadata"].get("deletionTimestamp"):
            self._references.forget(key)
            self._write_back.end(self._tag(key), datetime.now(UTC))
            self._prober.want("/".join(key), {}, lambda: None)
            return  # what it owned goes with it
        bind_contextvars(generation=seen.deployment["metadata"].get("generation"))
        deployment = read(seen.deployment, ModelDeployment)
        if isinstance(deployment, Unreadable):
            await self._say(seen, _unreadable(seen, deployment))
            return
        reference = self._references.known(key, deployment, seen.status)
        used = in_use(self._graphs(seen.namespace), deployment.name)
        seen = replace(seen, probes=self._probes(key, deployment, seen), in_use=used)
        if any(condition(pod, "PodScheduled").get("reason") == "Unschedulable" for pod in seen.of(POD)):
            seen = replace(seen, largest=await self._nodes.largest())
        observed = observe(deployment, seen, reference)
        decided = plan.decide(observed, seen.now)
        if not decided.held:
            wanted = desired(deployment, decided, seen, drain=timedelta(seconds=self._settings.drain_seconds))
            refused = await self._writer.carry_out(writes(wanted, seen), seen)
            if refused is not None:
                decided = plan.decide(replace(observed, refused=refused), seen.now)
                self._again(key, 5.0)
            if wanted.look_again is not None:
                self._again(key, (wanted.look_again - seen.now).total_seconds())
        await self._say(seen, _with_address(decided, seen))

    def _probes(self, key: Key, deployment: ModelDeployment, seen: Seen) -> Any:
        """Ask every revision that has a ready pod; of one that has none, forget what it said."""
        targets = {
            service: Target(
                address=self._settings.probe_address.format(
                    service=names.predictor(service), namespace=seen.namespace, port=80
                ),
                model=deployment.name,
            )
            for service in _with_ready_pods(seen)
        }
        return self._prober.want("/".join(key), targets, lambda: self._again(key, 0.0))

    async def _say(self, seen: Seen, told: Told) -> None:
        """Events for what has changed in the status, then the status, then the registry's tags for what that says."""
        generation = int(seen.deployment["metadata"].get("generation", 0))
        status = written(told, seen.status, generation=generation, now=seen.now)
        for each in happened(seen.status, status):
            log.info("happened", reason=each.reason, message=each.message)
            await self._writer.tell(MODEL_DEPLOYMENT, seen.deployment, each, seen.now)
        await self._writer.status(MODEL_DEPLOYMENT, seen.deployment, status)
        if self._settings.registry_tag:
            self._write_back.want(self._tag((seen.namespace, seen.name)), status.get("history", ()))

    def _tag(self, key: Key) -> str:
        return self._settings.registry_tag.replace("{namespace}", key[0]).replace("{name}", key[1])


def _with_ready_pods(seen: Seen) -> Iterator[str]:
    """The InferenceServices of ours with at least one pod that is ready."""
    revisions = {
        pod["metadata"]["labels"].get(names.REVISION)
        for pod in seen.of(POD)
        if condition(pod, "Ready").get("status") == "True" and not pod["metadata"].get("deletionTimestamp")
    }
    for raw in seen.of(INFERENCE_SERVICE):
        if seen.is_ours(raw) and raw["metadata"]["labels"].get(names.REVISION) in revisions:
            yield str(raw["metadata"]["name"])


def _with_address(decided: Plan, seen: Seen) -> Told:
    """Where it is reached inside the cluster."""
    told = decided.told
    url = f"http://{seen.name}.{seen.namespace}.svc" if decided.serve is not None else None
    return replace(told, fields={**told.fields, "url": url})


def _unreadable(seen: Seen, why: Unreadable) -> Told:
    """What is left of the status where the document cannot be read: everything goes on as it is."""
    generation = int(seen.deployment["metadata"].get("generation", 0))
    fields = {name: value for name, value in seen.status.items() if name not in ("conditions", "observedGeneration")}
    return Told(conditions=judge((_invalid,), why, generation=generation), fields=fields)


def _invalid(why: Unreadable) -> Condition:
    return Condition(type="Accepted", status="False", reason=Reason.InvalidSpec, message=why.message)
