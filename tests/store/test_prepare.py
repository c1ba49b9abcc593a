"""`python -m pointsman.store.prepare` on a real PostgreSQL that is there, not there yet, not ours, or refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pointsman.governance import keys
from pointsman.governance.access import Role
from pointsman.store import revision
from pointsman.store.database import connect
from pointsman.store.migrate import migrate

pytestmark = pytest.mark.slow

KEY = "pm_a-key-of-the-operators-own-making"
DOCUMENT = Path(__file__).parents[2] / "docs" / "store.md"


class Prepared:
    """A run that has ended: its exit code and what it logged."""

    def __init__(self, ended: subprocess.CompletedProcess[str]) -> None:
        self.code, self.text = ended.returncode, ended.stderr
        self.lines = [json.loads(line) for line in ended.stderr.splitlines()]

    @property
    def why(self) -> str:
        return str(self.lines[-1].get("why"))


@pytest.fixture
def prepare() -> Callable[..., Prepared]:
    def run(url: str | None, key: str | None = KEY, metrics: str | None = None) -> Prepared:
        given = {"POINTSMAN_STORE_OWNER_URL": url, "POINTSMAN_ADMIN_KEY": key, "POINTSMAN_METRICS_KEY": metrics}
        environment = os.environ | {name: value for name, value in given.items() if value is not None}
        command = [sys.executable, "-m", "pointsman.store.prepare"]
        return Prepared(subprocess.run(command, env=environment, capture_output=True, text=True, check=False))

    return run


@pytest.fixture
def empty(postgres) -> Iterator[str]:
    """A database of the owner's without a schema; its name."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" OWNER pointsman_owner')
        yield name
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def known(url: str) -> list[keys.Key]:
    with connect(url) as connection:
        return [key for digest, key in keys.all_keys(connection).items() if digest == keys.digest_of(KEY)]


def test_an_empty_database_gets_the_schema_and_a_key_that_opens_everything_however_often(
    prepare, postgres, empty: str
) -> None:
    owner, app = (postgres.url(empty, role) for role in ("pointsman_owner", "pointsman_app"))
    runs = list[Prepared]()
    beside = [threading.Thread(target=lambda: runs.append(prepare(owner))) for _ in range(3)]
    for each in beside:
        each.start()
    for each in beside:
        each.join()
    assert [run.code for run in runs] == [0, 0, 0], [run.text for run in runs]
    assert prepare(owner).code == 0
    (key,) = known(app)
    assert (key.role, key.revoked_at, key.expires_at) == (Role.ADMIN, None, None)
    with connect(app) as connection:
        revision.check(connection)
    assert KEY not in "".join(run.text for run in runs)


def test_a_revoked_key_stays_revoked_and_another_one_is_made_known(prepare, owner_url, database_url) -> None:
    prepare(owner_url)
    with connect(database_url) as connection:
        keys.revoke(connection, known(database_url)[0].key_id, known(database_url)[0].created_at)
    again = prepare(owner_url)
    assert (again.code, "a key was revoked and stays so" in again.text) == (0, True)
    assert known(database_url)[0].revoked_at is not None
    assert prepare(owner_url, KEY + "-2").code == 0
    with connect(database_url) as connection:
        assert len(keys.all_keys(connection)) == 2


def test_a_key_for_prometheus_may_read_and_no_more(prepare, owner_url, database_url) -> None:
    assert prepare(owner_url, metrics="m" * 20).why.startswith("POINTSMAN_METRICS_KEY: needs 32 characters or more")
    assert prepare(owner_url, metrics="m" * 40).code == 0
    with connect(database_url) as connection:
        key = keys.all_keys(connection)[keys.digest_of("m" * 40)]
    assert (key.name, key.role) == ("prometheus", Role.VIEWER)


@pytest.mark.parametrize(
    ("url", "key", "says"),
    [
        (None, KEY, "POINTSMAN_STORE_OWNER_URL: is not set"),
        ("postgresql://a@h/d", None, "POINTSMAN_ADMIN_KEY: is not set"),
        ("postgresql://a@h/d", "guess-me", "POINTSMAN_ADMIN_KEY: needs 32 characters or more"),
        ("postgresql://a@h/d", "two words are no key at all, are they", "POINTSMAN_ADMIN_KEY: needs 32 characters"),
    ],
)
def test_what_is_missing_is_named_and_ends_it_at_once(prepare, url: str | None, key: str | None, says: str) -> None:
    run = prepare(url, key)
    assert (run.code, run.why.startswith(says)) == (2, True), run.text
    assert key is None or key not in run.text


def test_a_server_that_never_comes_is_given_up_with_what_it_said() -> None:
    from pointsman.store.prepare import StoreRefuses, prepare

    with pytest.raises(StoreRefuses, match=r"did not answer within 0 s: .*127\.0\.0\.1.*refused"):
        prepare("postgresql://a:s3cret@127.0.0.1:1/d", (), patience_seconds=0)


def test_a_role_that_owns_nothing_is_refused_with_what_to_do(prepare, postgres, empty: str) -> None:
    run = prepare(postgres.url(empty, "pointsman_app"))
    assert run.code == 1
    assert "permission denied for schema public" in run.why
    assert "docs/store.md" in run.why
    away = prepare(postgres.url("no_such_database", "pointsman_owner"))
    assert (away.code, 'database "no_such_database" does not exist' in away.why) == (1, True)


def test_the_newest_revision_is_the_last_migrations(owner_url: str, database_url: str) -> None:
    assert migrate(owner_url) == revision.newest()
    with connect(owner_url, autocommit=True) as owner, connect(database_url) as app:
        revision.check(app)
        owner.execute("UPDATE alembic_version SET version_num = '0001'")
        with pytest.raises(revision.NotPrepared, match='has revision "0001" of the schema'):
            revision.check(app)
        owner.execute("DROP TABLE alembic_version")
        with pytest.raises(revision.NotPrepared, match="has no schema"):
            revision.check(app)


def test_the_documents_sql_is_all_that_an_administrator_runs(prepare, postgres) -> None:
    """By an administrator who is no superuser, as those of hosted servers are."""
    (script,) = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    statements = [each for each in re.sub(r"--.*", "", script).split(";") if each.strip()]
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as superuser:
        superuser.execute("CREATE ROLE administrator LOGIN CREATEDB CREATEROLE")
        superuser.execute("GRANT pointsman_app TO administrator WITH ADMIN OPTION")
        try:
            with psycopg.connect(postgres.url("postgres", "administrator"), autocommit=True) as administrator:
                for statement in statements:
                    try:
                        administrator.execute(statement)
                    except psycopg.errors.DuplicateObject:  # pointsman_app: another store of the server has it
                        assert "CREATE ROLE pointsman_app" in statement
            run = prepare(postgres.url("fraud", "fraud_owner"))
            assert run.code == 0, run.text
            with connect(postgres.url("fraud", "fraud_app")) as app:
                revision.check(app)
                app.execute("SELECT pointsman_ensure_day(current_date)")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute("DELETE FROM ledger")
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(postgres.url("fraud", "pointsman_app"))
        finally:
            superuser.execute("DROP DATABASE IF EXISTS fraud WITH (FORCE)")
            superuser.execute("DROP ROLE IF EXISTS fraud_owner, fraud_app")
            superuser.execute("REVOKE pointsman_app FROM administrator")
            superuser.execute("DROP ROLE administrator")
