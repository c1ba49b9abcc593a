"""Which version of a model served from when: a row and a leaf of the ledger each time another one begins."""

from alembic import op

revision = "0005"
down_revision = "0004"

TABLES = """
CREATE TABLE model_changes (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, change_id uuid NOT NULL UNIQUE, deployment_uid uuid NOT NULL,
    at timestamptz NOT NULL, body bytea NOT NULL);
CREATE INDEX model_changes_of_deployment ON model_changes (deployment_uid, seq);
GRANT SELECT, INSERT ON model_changes TO pointsman_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
