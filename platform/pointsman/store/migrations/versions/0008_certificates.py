"""Band certificates, what became of bands since, and the keys that may sign: only the owner says which those are."""

from alembic import op

revision = "0008"
down_revision = "0007"

TABLES = """
CREATE TABLE certificate_keys (
    key_id text PRIMARY KEY, public_key bytea NOT NULL, added_at timestamptz NOT NULL, revoked_at timestamptz);
CREATE TABLE certificates (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, certificate_id uuid NOT NULL UNIQUE, graph_uid uuid NOT NULL,
    band text NOT NULL, segment text, scorer text NOT NULL, issuer text NOT NULL, issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL, body bytea NOT NULL);
CREATE INDEX certificates_of_graph ON certificates (graph_uid, seq);
CREATE TABLE certificate_events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id uuid NOT NULL UNIQUE, graph_uid uuid NOT NULL,
    band text NOT NULL, segment text, certificate_id uuid, change text NOT NULL CHECK (change IN ('demoted', 'rearmed')),
    author text NOT NULL, comment text NOT NULL, at timestamptz NOT NULL, body bytea NOT NULL);
CREATE INDEX certificate_events_of_graph ON certificate_events (graph_uid, seq);
COMMENT ON COLUMN certificate_events.segment IS 'NULL where the band as a whole is meant';
GRANT SELECT, INSERT ON certificates, certificate_events TO pointsman_app;
GRANT SELECT ON certificate_keys TO pointsman_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
