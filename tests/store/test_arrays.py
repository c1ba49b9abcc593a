"""What a statement over the wire says of a server that goes without a word."""

from __future__ import annotations

import socket
import threading

import psycopg
import pytest

from pointsman.store import arrays
from pointsman.store.database import connect


@pytest.mark.slow
def test_a_connection_that_breaks_off_while_a_statement_runs_is_one_that_is_tried_again(database_url):
    connection = connect(database_url, autocommit=True)
    with connection, socket.socket(fileno=socket.dup(connection.pgconn.socket)) as underneath:
        breaking = threading.Timer(0.3, lambda: underneath.shutdown(socket.SHUT_RDWR))
        breaking.start()
        with pytest.raises(psycopg.OperationalError, match="closed the connection"):
            arrays.run(connection, "SELECT pg_sleep(30)", [])
        breaking.join()
