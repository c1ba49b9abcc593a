"""The decision store, and the registry, for commands that ask them themselves: what the environment names, or the home's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pointsman.cli.errors import Exit, Failure

if TYPE_CHECKING:
    import psycopg

    from pointsman.registry.mlflow_rest import MlflowRegistry


@contextmanager
def store(*, owner: bool = False) -> Iterator[psycopg.Connection[Any]]:
    """A connection with the application's role or the owner's; what it did is committed at the end. Raises Failure."""
    import psycopg

    from pointsman.cli.connection import open_home
    from pointsman.graphs.pod import STORE_URL
    from pointsman.local.postgres import PostgresServer
    from pointsman.store.database import APP_ROLE, OWNER_ROLE, OWNER_URL, StoreUrlRefused, connect, store_url

    variable, role = (OWNER_URL, OWNER_ROLE) if owner else (STORE_URL, APP_ROLE)
    try:
        if os.environ.get(variable):
            url, hint = store_url(os.environ, variable), f"it is the one that {variable} names"
        else:
            url, hint = PostgresServer(open_home()).url("pointsman", role), "`pointsman up` starts it"
        connection = connect(url)
    except StoreUrlRefused as error:
        raise Failure(str(error), code=Exit.USAGE) from error
    except psycopg.OperationalError as error:
        raise Failure("the decision store does not answer", hint=hint, code=Exit.NOT_RUNNING) from error
    with connection:
        yield connection


def registry() -> MlflowRegistry:
    """The model registry; close it, or use it as a context manager."""
    from pointsman.cli.connection import open_home
    from pointsman.graphs.pod import REGISTRY_URL
    from pointsman.local.ports import Ports
    from pointsman.registry.mlflow_rest import MlflowRegistry

    if os.environ.get(REGISTRY_URL):
        return MlflowRegistry(os.environ[REGISTRY_URL])
    home = open_home()
    return MlflowRegistry(f"http://127.0.0.1:{Ports(home).of('mlflow')}", local_root=home.artifacts)
