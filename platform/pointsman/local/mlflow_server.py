"""The MLflow tracking server and registry of a home, as a supervised process. It faces nobody but us."""

from __future__ import annotations

import sys

import httpx2

from pointsman.local.home import Home
from pointsman.local.postgres import PostgresServer
from pointsman.local.processes import ProcessSpec
from pointsman.store.database import OWNER_ROLE


def mlflow_spec(home: Home, postgres: PostgresServer, port: int) -> ProcessSpec:
    """The server over a database of its own, its artifacts as plain files below the home."""
    store = postgres.url("mlflow", OWNER_ROLE).replace("postgresql://", "postgresql+psycopg://")
    address = f"http://127.0.0.1:{port}"

    async def ready() -> bool:
        try:
            async with httpx2.AsyncClient(timeout=2, trust_env=False, verify=False) as client:
                return (await client.get(f"{address}/health")).status_code == 200
        except httpx2.HTTPError:
            return False

    return ProcessSpec(
        name="mlflow",
        command=(sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--host", "127.0.0.1",
                 "--port", str(port), "--log-level", "warning", "--timeout-graceful-shutdown", "2"),
        environment={
            "_MLFLOW_SERVER_FILE_STORE": store,
            "MLFLOW_TRACKING_URI": store,  # else it looks for logged models elsewhere until somebody asks for a run
            "_MLFLOW_SERVER_ARTIFACT_ROOT": home.artifacts.as_uri(),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "GIT_PYTHON_REFRESH": "quiet",
        },
        ready=ready,
        stop_seconds=4,
        address=address,
    )  # fmt: skip
