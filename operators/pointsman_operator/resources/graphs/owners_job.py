"""A Job that does one thing as the store's owner, made of the one that migrates: it has the image, the owner's URL, and the way
to the store. Whoever may make Jobs in a namespace may read its Secrets too, so nobody gains anything by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pointsman_operator import names
from pointsman_operator.resources.graphs.namespace import OWNER_URL
from pointsman_operator.seen import Raw

TAKEN = ("image", "imagePullPolicy", "securityContext", "volumeMounts", "resources")
"""What its container has of the one that migrates"""
SECONDS = 120
FORGOTTEN_SECONDS = 600
"""Until Kubernetes deletes one that whoever made it did not"""


def owners_job(migration: Raw, namespace: str, command: Sequence[str]) -> dict[str, Any]:
    """The Job that runs a command in a pod like that of a migration."""
    pod = migration["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    kept = {name: container[name] for name in TAKEN if name in container}
    environment = [each for each in container["env"] if each["name"] in (OWNER_URL, "HOME")]
    ran = {**kept, "name": "owner", "command": list(command), "env": environment}
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    spec = {**pod, "containers": [{**ran, **fallback}], "restartPolicy": "Never"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "pointsman-owner-", "namespace": namespace},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": SECONDS,
            "ttlSecondsAfterFinished": FORGOTTEN_SECONDS,
            "template": {"metadata": {"labels": names.part_labels("migrate")}, "spec": spec},
        },
    }
