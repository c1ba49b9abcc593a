"""Who may do what with our kinds in a namespace: what Kubernetes' own roles say."""

from __future__ import annotations

import pytest

from harness import operator, yours
from harness.cluster import Cluster, KubectlFailed
from harness.waiting import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(yours.asked_for(), reason="about the clusters that are started here"),
]


@pytest.mark.parametrize(("role", "reads", "writes"), [("view", True, False), ("edit", True, True)])
def test_a_role_of_a_namespace_holds_for_our_kinds_too(
    simulated: Cluster, namespace: str, role: str, reads: bool, writes: bool
) -> None:
    operator.installed(simulated)
    simulated.kubectl("create", "rolebinding", role, "-n", namespace, f"--clusterrole={role}", "--user=someone")

    def may(verb: str, kind: str) -> bool:
        try:
            simulated.kubectl("auth", "can-i", verb, kind, "-n", namespace, "--as=someone", "--quiet")
        except KubectlFailed:
            return False
        return True

    wait_for("the roles are aggregated", lambda: may("list", "pods") and may("get", "modeldeployments") == reads)
    kinds = ("modeldeployments", "decisiongraphs", "featureviews", "eventstreams", "actiontargets")
    assert [may("get", f"{kind}.pointsman.dev") for kind in kinds] == [reads] * 5
    assert [may("patch", f"{kind}.pointsman.dev") for kind in kinds] == [writes] * 5
