"""The pods that host a graph, as both sides know them: who renders their templates, and the host that runs in them.

A host's settings come from its environment and from what it is handed (`user_config`, or the file `CONFIG_FILE`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

STORE_URL = "POINTSMAN_STORE_URL"
"""The decision store, as the application's role"""
CONTROL_TOKEN = "POINTSMAN_CONTROL_TOKEN"
"""The bearer token that may switch revisions and import history"""
REGISTRY_URL = "POINTSMAN_REGISTRY_URL"
"""Where models are fetched from that are not in the folder yet"""
MODELS = "POINTSMAN_MODELS"
"""The folder that models are fetched into, each into one named by the 64 digits of its digest"""
SECRETS = "POINTSMAN_SECRETS"
HOST = "POINTSMAN_HOST"
"""Which of a graph's hosts this is: the name of its RayService or Deployment. Pods that follow each other share it.

The store gives each of these names a turn, and a host never takes the graph from one whose turn came later.
"""

ADDRESS = "POINTSMAN_ADDRESS"
"""Where the graph is reached, whichever of its hosts has it: the store tells the API"""

MODELS_FOLDER = "/models"
SECRETS_FOLDER = "/secrets"
CONFIG_FILE = "/etc/pointsman/host.json"
"""What an embedded host is handed; it looks for a change every second"""

HTTP_PORT = 8000
"""Where a host takes decisions, on either runtime; the only port that anybody but Ray's own pods needs"""

APPLICATION = "pointsman_serving.on_cluster:application"
"""The import path of the Serve application"""
DEPLOYMENT = "graph"
"""The application's one deployment, whose `user_config` is handed to the host"""

ONE_THREAD: Mapping[str, str] = MappingProxyType({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
"""One thread a numeric library: the batch is the unit of parallel work"""

REPLICA_PORTS = (30000, 30050)
"""Where replicas listen for HAProxy, on every node"""
FALLBACK_PORT = 8500
"""Where the head answers for a graph that has no replica: HAProxy of every node turns to it"""
RAY_ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",  # that port would be any, and no NetworkPolicy could name it
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # a busy machine is slow, not broken
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "65536",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(REPLICA_PORTS[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(REPLICA_PORTS[1]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(FALLBACK_PORT),
        **ONE_THREAD,
    }
)
"""Of every Ray container, head and worker: Ray reads it when it is imported. KubeRay adds the token of the cluster itself."""

RAY_HEAD_PORTS: Mapping[str, int] = MappingProxyType({"gcs-server": 6379, "dashboard": 8265, "client": 10001})
"""Where the head listens, for KubeRay and for its own workers"""
RAY_NODE_PORTS: Mapping[str, int] = MappingProxyType(
    {
        "node-manager-port": 6380,
        "object-manager-port": 6381,
        "runtime-env-agent-port": 6382,
        "dashboard-agent-grpc-port": 6383,
        "dashboard-agent-listen-port": 52365,
        "metrics-export-port": 8080,
        "min-worker-port": 10002,
        "max-worker-port": 10101,
    }
)
"""Where Ray's nodes listen for each other: `rayStartParams` of head and workers, and what a NetworkPolicy lets through."""
