"""What runs on the real node: containerd with runc and CNI, kubelet, kube-proxy, CoreDNS; their settings as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.certificates import Certificate
from harness.images import COREDNS, PAUSE
from harness.node import NAME, Network

SOCKET = "/run/containerd/containerd.sock"
DNS_DOMAIN = "cluster.local"
_NEVER_EVICT = ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree")

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings files that the node's programs are started with."""

    containerd: Path
    kubelet: Path
    proxy: Path


def write(folder: Path, network: Network, runc: Path, cni: Path, kubelet: Certificate, proxy: Path) -> Settings:
    """Write every settings file into the folder."""
    networks = folder / "cni"
    networks.mkdir()
    (networks / "10-pods.conflist").write_text(json.dumps(_pod_network(network)))
    settings = Settings(
        containerd=folder / "containerd.toml", kubelet=folder / "kubelet.yaml", proxy=folder / "proxy.yaml"
    )
    settings.containerd.write_text(_toml(_containerd(runc, cni, networks)))
    settings.kubelet.write_text(yaml.safe_dump(_kubelet(network, kubelet, folder / "resolv.conf")))
    settings.proxy.write_text(yaml.safe_dump(_proxy(network, proxy)))
    return settings


def _containerd(runc: Path, cni: Path, networks: Path) -> Mapping[str, Mapping[str, object]]:
    images, runtime = "plugins.'io.containerd.cri.v1.images'", "plugins.'io.containerd.cri.v1.runtime'"
    return {
        "": {"version": 3, "root": "/var/lib/containerd", "state": "/run/containerd", "oom_score": 0},
        "grpc": {"address": SOCKET},
        images: {"snapshotter": "overlayfs"},
        f"{images}.pinned_images": {"sandbox": PAUSE},
        # a sandboxed machine may refuse a lower oom_score_adj, and has no hugetlb cgroup
        runtime: {"restrict_oom_score_adj": True, "tolerate_missing_hugetlb_controller": True},
        f"{runtime}.containerd": {"default_runtime_name": "runc"},
        f"{runtime}.containerd.runtimes.runc": {"runtime_type": "io.containerd.runc.v2"},
        f"{runtime}.containerd.runtimes.runc.options": {"BinaryName": str(runc), "SystemdCgroup": False},
        f"{runtime}.cni": {"bin_dirs": [str(cni)], "conf_dir": str(networks)},
        "plugins.'io.containerd.grpc.v1.cri'": {"disable_tcp_service": True},
    }


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """TOML of these tables: their values are JSON's, which TOML writes the same way."""
    lines = []
    for table, entries in tables.items():
        lines += [f"[{table}]"] if table else []
        lines += [f"{name} = {json.dumps(value)}" for name, value in entries.items()]
    return "\n".join([*lines, ""])


def _pod_network(network: Network) -> Document:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": network.pods}]]},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}


def _kubelet(network: Network, shown: Certificate, resolver: Path) -> Document:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(shown.authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(shown.certificate),
        "tlsPrivateKeyFile": str(shown.key),
        "failSwapOn": False,
        "localStorageCapacityIsolation": True,  # without it stats/summary breaks
        "oomScoreAdj": 0,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": dict.fromkeys(_NEVER_EVICT, "0%"),
        "clusterDNS": [network.service(10)],
        "clusterDomain": DNS_DOMAIN,
        "resolvConf": str(resolver),
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
        "fileCheckFrequency": "0s",
        "maxPods": 60,
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        "shutdownGracePeriod": "0s",
    }


def _proxy(network: Network, kubeconfig: Path) -> Document:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": NAME,
        "clusterCIDR": network.pods,
        "bindAddress": "0.0.0.0",
        "conntrack": {  # zeros leave the kernel's own values, which are the whole machine's
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def dns(network: Network) -> list[Document]:
    """CoreDNS for the cluster's own names, to be applied."""
    core, labels = {"name": "coredns", "namespace": "kube-system"}, {"k8s-app": "kube-dns"}
    role = {"name": "system:coredns"}
    read = ["list", "watch"]
    corefile = "\n".join(
        (
            ".:53 {",
            "  errors",
            "  health :8081",
            "  ready :8181",
            f"  kubernetes {DNS_DOMAIN} in-addr.arpa ip6.arpa {{",
            "    pods insecure",
            "    fallthrough in-addr.arpa ip6.arpa",
            "    ttl 1",
            "  }",
            "}",
            "",
        )
    )
    container = {
        "name": "coredns",
        "image": COREDNS,
        "imagePullPolicy": "Never",
        "command": ["/coredns"],
        "args": ["-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/coredns"}],
    }
    pod = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": [{"name": "settings", "configMap": {"name": "coredns"}}],
    }
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": core},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": role,
            "rules": [
                {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": read},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": role,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **role},
            "subjects": [{"kind": "ServiceAccount", **core}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": core, "data": {"Corefile": corefile}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": core,
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system"},
            "spec": {"clusterIP": network.service(10), "selector": labels, "ports": ports},
        },
    ]
