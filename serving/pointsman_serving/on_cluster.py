"""The Serve application of a graph in pods: `import_path: pointsman_serving.on_cluster:application`.

Its one deployment, `graph`, is handed `user_config: {"resolved": …, "standby": …, "order": …}`; all else is in the environment.
What a pod template of head or worker needs stands in `pointsman.graphs.pod`:

- `RAY_ENVIRONMENT` in every Ray container; `STORE_URL`, `CONTROL_TOKEN`, `REGISTRY_URL`, `MODELS` and `HOST` in the
  workers' (the head has no CPUs, so no replica runs there).
- `rayStartParams`: `RAY_NODE_PORTS` for head and workers.
- Writable: `/tmp` (Ray's sockets and logs, HAProxy's configuration), `/dev/shm`, and `MODELS_FOLDER`.
- A NetworkPolicy lets `HTTP_PORT` in from outside, `RAY_HEAD_PORTS["dashboard"]` and `HTTP_PORT` from KubeRay, and between
  the pods of one cluster all of `RAY_HEAD_PORTS`, `RAY_NODE_PORTS` (the workers' as a range), `REPLICA_PORTS` and
  `FALLBACK_PORT`, behind which requests wait while a replica is replaced.
"""

from __future__ import annotations

from pointsman_serving.ray_replica import application as _application

application = _application()
