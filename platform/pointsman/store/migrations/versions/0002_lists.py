"""Lists: every change is a row that stays; what stands in a list is the latest change of each value."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = """
CREATE TABLE list_changes (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, change_id uuid NOT NULL UNIQUE, graph_uid uuid NOT NULL,
    list text NOT NULL, value text NOT NULL, change text NOT NULL CHECK (change IN ('add', 'remove')),
    author text NOT NULL, comment text NOT NULL, expires_at timestamptz, at timestamptz NOT NULL, body bytea NOT NULL);
CREATE INDEX list_changes_of_graph ON list_changes (graph_uid, seq);
CREATE INDEX list_changes_of_value ON list_changes (graph_uid, list, value, seq DESC);
GRANT SELECT, INSERT ON list_changes TO pointsman_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
