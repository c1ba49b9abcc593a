"""A stock kopf operator that writes the same children as ours: `kopf run --standalone -A kopf_operator.py`.

CHILDREN names a file with the children of the model "model-0000", as ours writes them.
"""

import json
import os
from pathlib import Path
from typing import Any

import kopf
from kubernetes import client, config, dynamic
from kubernetes.dynamic.exceptions import ConflictError

CHILDREN = Path(os.environ["CHILDREN"]).read_text()
NAME = "model-0000"


@kopf.on.startup()
def connected(memo: kopf.Memo, **_: Any) -> None:
    config.load_kube_config()
    memo.client = dynamic.DynamicClient(client.ApiClient())


@kopf.on.create("pointsman.dev", "v1alpha1", "modeldeployments")
@kopf.on.resume("pointsman.dev", "v1alpha1", "modeldeployments")
def written(body: kopf.Body, name: str, memo: kopf.Memo, **_: Any) -> None:
    """Create each child, where it is not there already."""
    for document in json.loads(CHILDREN.replace(NAME, name)):
        document["metadata"].pop("ownerReferences")
        kopf.append_owner_reference(document, owner=body)
        kind = memo.client.resources.get(api_version=document["apiVersion"], kind=document["kind"])
        try:
            kind.create(body=document, namespace=document["metadata"]["namespace"])
        except ConflictError:
            continue
