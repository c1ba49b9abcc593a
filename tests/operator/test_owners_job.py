"""What runs as the owner of a store, made of the Job that the operator has made."""

from __future__ import annotations

from pointsman_operator import names
from pointsman_operator.resources.graphs.namespace import OWNER_URL, Namespace, migration
from pointsman_operator.resources.graphs.owners_job import owners_job
from pointsman_operator.resources.graphs.platform import Platform
from pointsman_operator.seen import JOB


def test_it_has_the_owner_s_url_the_way_to_the_store_and_no_other_secret() -> None:
    made = next(each for each in migration(Namespace(name="risk", owners=()), Platform()) if each.kind is JOB)
    live = {**made.document, "spec": dict(made.document["spec"])}
    template = live["spec"]["template"]
    template = {**template, "metadata": {"labels": {**template["metadata"]["labels"], "controller-uid": "u1"}}}
    live["spec"]["template"] = template

    job = owners_job(live, "risk", ["python", "-m", "pointsman.certificate_keys", "trust", "MCow"])

    pod = job["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (before,) = template["spec"]["containers"]
    assert pod["metadata"]["labels"] == names.part_labels("migrate"), "its NetworkPolicy lets no other pod to the store"
    assert "labels" not in job["metadata"], "the operator deletes what is labelled as its own and is not wanted"
    assert [each["name"] for each in container["env"]] == [OWNER_URL, "HOME"]
    assert container["command"][-2:] == ["trust", "MCow"]
    assert (container["image"], container["securityContext"]) == (before["image"], before["securityContext"])
    assert (job["spec"]["backoffLimit"], pod["spec"]["restartPolicy"]) == (0, "Never")
    assert job["metadata"] == {"generateName": "pointsman-owner-", "namespace": "risk"}
