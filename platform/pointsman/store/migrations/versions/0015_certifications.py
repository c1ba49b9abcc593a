"""Certifications that people asked the API for, with the labelled decisions they were given; and who brought a certificate in."""

from alembic import op

revision = "0015"
down_revision = "0014"

TABLES = """
CREATE TABLE certifications (
    certification_id uuid PRIMARY KEY, graph_uid uuid NOT NULL, revision text NOT NULL, author text NOT NULL,
    at timestamptz NOT NULL, asked jsonb NOT NULL, state text NOT NULL CHECK (state IN ('Collecting', 'Running', 'Done', 'Failed')),
    phase text NOT NULL DEFAULT '', given bigint NOT NULL DEFAULT 0, is_history boolean NOT NULL DEFAULT false,
    unknown bigint NOT NULL DEFAULT 0,
    other_scorer bigint NOT NULL DEFAULT 0, ended_at timestamptz, result jsonb, error text);
CREATE INDEX certifications_of_graph ON certifications (graph_uid, at);
CREATE TABLE certification_items (
    certification_id uuid NOT NULL REFERENCES certifications ON DELETE CASCADE, decision_id uuid NOT NULL,
    score double precision NOT NULL, label boolean NOT NULL, propensity double precision, segment text,
    PRIMARY KEY (certification_id, decision_id));
COMMENT ON TABLE certification_items IS 'labelled decisions while they are collected; they go when the certification has ended';
GRANT SELECT, INSERT, UPDATE ON certifications TO pointsman_app;
GRANT SELECT, INSERT, DELETE ON certification_items TO pointsman_app;

ALTER TABLE certificates ADD author text;
COMMENT ON COLUMN certificates.author IS 'whose key brought it in; NULL where it came past the API';
"""


def upgrade() -> None:
    op.execute(TABLES)
