"""An action that people have to approve waits in the outbox, `checked`, until enough others than its proposer have."""

from alembic import op

revision = "0013"
down_revision = "0012"

TABLES = """
ALTER TABLE outbox ADD people smallint NOT NULL DEFAULT 0, ADD proposer text, ADD evidence bytea, ADD approval bytea;
COMMENT ON COLUMN outbox.people IS 'how many must approve it';
COMMENT ON COLUMN outbox.evidence IS 'the digest of the decision''s record';
COMMENT ON COLUMN outbox.approval IS 'the digest that they have approved, with the last approval';
CREATE INDEX outbox_awaiting_approval ON outbox (graph_uid, created_at, action_id) WHERE state = 'checked';

CREATE TABLE approvals (
    approval_id uuid PRIMARY KEY, action_id uuid NOT NULL, decision_id uuid NOT NULL, graph_uid uuid NOT NULL,
    approver text NOT NULL, approved boolean NOT NULL, reason text NOT NULL, digest bytea NOT NULL, at timestamptz NOT NULL,
    body bytea NOT NULL, UNIQUE (action_id, approver));
GRANT SELECT, INSERT ON approvals TO pointsman_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
