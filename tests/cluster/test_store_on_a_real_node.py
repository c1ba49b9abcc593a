"""The PostgreSQL for trials in a real pod, as docs/store.md says, with the Job and the API on it; killed, and told to stop."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import yours
from harness.cluster import Cluster
from harness.waiting import wait_for
from pointsman_images.build import PROJECT, build

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]

KEY = "an-administrators-key-of-40-characters-xy"
POD = "pointsman-postgres-0"


def as_documented(cluster: Cluster, namespace: str) -> None:
    """Run the document's own lines for a trial, for this namespace, on a node without storage classes."""
    text = (PROJECT / "docs" / "store.md").read_text().partition("## For trials")[2]
    (lines,) = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    script = re.sub(r"^\$ ", "", lines, flags=re.MULTILINE).replace("-n fraud", f"-n {namespace}")
    script = script.replace("-k manifests/postgres ", "-k manifests/postgres/without-storage ")
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "KUBECACHEDIR": str(cluster.kubeconfig.parent / "kubectl"),  # else, without a HOME, the folder that it runs in
        "PATH": f"{cluster.kubectl_program.parent}:/usr/bin:/bin",
    }
    subprocess.run(["bash", "-euc", script], cwd=PROJECT, env=environment, check=True, capture_output=True)


def pod_of_ours(name: str, command: list[str], environment: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A pod under the restricted Pod Security level, of an image that has what the API is."""
    container = {
        "name": "it",
        "image": "ghcr.io/pointsman/serving:0.1.0",
        "command": command,
        "env": environment,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        **more,
    }
    user = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": user, "restartPolicy": "OnFailure"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def of_secret(variable: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": "pointsman-store", "key": key}}}


def test_a_store_for_trials_is_made_as_documented_and_outlives_its_server(
    real_node: Cluster, namespace: str, say: Callable[[str], None]
) -> None:
    assert real_node.log_folder is not None
    images = Path(real_node.log_folder).parent / "images"
    for image in ("postgres", "serving"):
        tar = build(image, images, say=say).path
        real_node.load_image(tar)
        tar.unlink()
    real_node.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    prepare = [of_secret("POINTSMAN_STORE_OWNER_URL", "ownerUrl"), {"name": "POINTSMAN_ADMIN_KEY", "value": KEY}]
    ready = {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1}
    for pod in (
        pod_of_ours("migrate", ["python", "-m", "pointsman.store.prepare"], prepare),
        pod_of_ours(
            "api",
            ["python", "-m", "pointsman.console"],
            [of_secret("POINTSMAN_STORE_URL", "url")],
            readinessProbe=ready,
        ),
    ):
        real_node.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(pod))  # they wait for Secret and server
    as_documented(real_node, namespace)

    def found(name: str) -> dict[str, Any]:
        return real_node.get("pod", name, namespace)["status"]

    def is_ready(name: str) -> bool:
        return any(each["type"] == "Ready" and each["status"] == "True" for each in found(name).get("conditions", ()))

    wait_for("the store is prepared", lambda: found("migrate")["phase"] == "Succeeded", seconds=180, every=0.5)
    wait_for("the API is ready", lambda: is_ready("api"), seconds=60, every=0.5)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    keys = urllib.request.Request(
        f"http://{found('api')['podIP']}:8080/v1/keys", headers={"Authorization": f"Bearer {KEY}"}
    )

    def names() -> list[str]:
        try:
            with opener.open(keys, timeout=10) as answer:
                return [each["name"] for each in json.load(answer)["items"]]
        except urllib.error.HTTPError:
            return []

    assert names() == ["admin"]

    def ends(command: str) -> int:
        """Have the container end by this command, and wait until it runs again; how it had ended."""
        before = found(POD)["containerStatuses"][0]["restartCount"]
        real_node.kubectl("exec", "-n", namespace, POD, "--", "sh", "-c", command)
        again = lambda: found(POD)["containerStatuses"][0]["restartCount"] > before and is_ready(POD)  # noqa: E731
        wait_for("it is started again", again, seconds=120, every=0.5)
        return int(found(POD)["containerStatuses"][0]["lastState"]["terminated"]["exitCode"])

    assert ends("kill -9 $(sed -n 1p /data/postgres/postmaster.pid)") == 1
    assert ends("kill -TERM 1") == 0
    assert "database system is shut down" in real_node.kubectl("logs", "-n", namespace, POD, "--previous")
    wait_for("the API answers again, with what was written", lambda: names() == ["admin"], seconds=60)
    assert found("api")["containerStatuses"][0]["restartCount"] == 0
