"""What reviewers said of an item before they saw what the model says of it; it is never changed."""

from alembic import op

revision = "0011"
down_revision = "0010"

TABLES = """
CREATE TABLE first_calls (
    call_id uuid PRIMARY KEY, decision_id uuid NOT NULL, reviewer text NOT NULL, review_id uuid NOT NULL,
    graph_uid uuid NOT NULL, verdict text NOT NULL, at timestamptz NOT NULL, body bytea NOT NULL,
    UNIQUE (decision_id, reviewer));
GRANT SELECT, INSERT ON first_calls TO pointsman_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
