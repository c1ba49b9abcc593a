"""From where a pod gets its model's files: the address that our storage containers take, and what the pod has beside it for them.

KServe's own container gives the files to whatever runs the model without a look at their digest, in a layout that Triton does not
read, and the restricted Pod Security level refuses it. So ours fetch from every address: by KServe's clients, with the credentials
that KServe gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from pointsman.api.model_deployment import ModelDeployment
from pointsman.deployments.plan import Pinned
from pointsman_operator.resources import pods

REGISTERED = "mlflow-artifacts:/"
"""Begins the addresses of what the registry has"""
ADDRESSED = "pointsman-storage:/"
"""Begins those of what lies elsewhere"""
MOUNTED = "pointsman-volume:/"
"""Begins those of what the pod has mounted: a claim, or the copy of an image's files"""
VOLUME = "pointsman-source"
FOLDER = "/mnt/source"
IMAGE = "model-image"
"""The init container that copies the files out of their image"""
_CLAIM, _IMAGE = "pvc://", "oci://"


def address(deployment: ModelDeployment, pinned: Pinned) -> str:
    """What KServe hands to our storage container: the address, what it is to check, and how it is to lay the files out."""
    query = {"name": deployment.name, "version": pinned.version, **_layout(deployment)}
    return f"{_place(pinned.source)}?{urlencode(query)}#{pinned.digest}"


def beside(pinned: Pinned) -> dict[str, list[Mapping[str, Any]]]:
    """The fields of the pod by which a claim or an image becomes the volume that our storage container reads."""
    if pinned.source.startswith(_CLAIM):
        claim = pinned.source.removeprefix(_CLAIM).partition("/")[0]
        return {"volumes": [{"name": VOLUME, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}]}
    if pinned.source.startswith(_IMAGE):
        image = pinned.source.removeprefix(_IMAGE)
        return {"volumes": [{"name": VOLUME, "emptyDir": {}}], "initContainers": [_copies(image)]}
    return {}


def _place(source: str) -> str:
    """No colon of theirs stays: KServe's own container claims whatever has https:// anywhere in it."""
    if source.startswith(REGISTERED):
        return source
    begins = MOUNTED if source.startswith((_CLAIM, _IMAGE)) else ADDRESSED
    return begins + quote(source, safe="/@")


def _layout(deployment: ModelDeployment) -> dict[str, str]:
    """As Triton reads it. A repository of its own is given to it as it is."""
    spec = deployment.spec
    if spec.runtime.type != "Triton":
        return {}
    if spec.model.format == "TritonRepository":
        return {"layout": "repository"}
    gpu = any(name.startswith("nvidia.com/") for name in spec.resources.limits)
    return {
        "layout": "triton",
        "kind": "gpu" if gpu else "cpu",
        "maxBatchSize": str(spec.batching.max_batch_size),
        "maxQueueDelayMicroseconds": str(spec.batching.max_queue_delay_microseconds),
        "instances": str(spec.runtime.triton.instances if spec.runtime.triton is not None else 1),
    }


def _copies(image: str) -> dict[str, Any]:
    """The files are in the image's /models, where KServe looks for them too; it needs a shell there as well."""
    return {
        "name": IMAGE,
        "image": image,
        "command": ["sh", "-c", f"cp -R /models/. {FOLDER}/"],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": dict(pods.CONTAINER_SECURITY),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": VOLUME, "mountPath": FOLDER}],
    }
