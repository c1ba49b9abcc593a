"""Reviews are claimed with a lease and end in a verdict or expire; API keys are kept by their digest alone."""

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = """
ALTER TABLE reviews ADD lease_owner text, ADD lease_until timestamptz, ADD escalated_at timestamptz, ADD closed_at timestamptz;
CREATE INDEX reviews_of_case ON reviews (graph_uid, case_key) WHERE state = 'open';
CREATE INDEX reviews_overdue ON reviews (deadline_at) WHERE state = 'open' AND escalated_at IS NULL;

CREATE TABLE verdicts (
    verdict_id uuid PRIMARY KEY, review_id uuid NOT NULL UNIQUE, decision_id uuid NOT NULL, graph_uid uuid NOT NULL,
    verdict text, reason text NOT NULL, reviewer text NOT NULL, at timestamptz NOT NULL, body bytea NOT NULL);
COMMENT ON COLUMN verdicts.verdict IS 'NULL where nobody decided before the deadline';

CREATE TABLE api_keys (
    key_id text PRIMARY KEY, name text NOT NULL, role text NOT NULL, digest bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL, expires_at timestamptz, revoked_at timestamptz);

CREATE INDEX dead_letters_newest ON dead_letters (graph_uid, at DESC, dead_letter_id DESC);

GRANT SELECT, INSERT ON verdicts, api_keys TO pointsman_app;
GRANT UPDATE (revoked_at) ON api_keys TO pointsman_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
