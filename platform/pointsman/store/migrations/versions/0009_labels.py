"""What became known of decided events, in what imports it came, and what monitors make of the audited ones."""

from alembic import op

revision = "0009"
down_revision = "0008"

TABLES = """
CREATE TABLE label_batches (
    batch_id uuid PRIMARY KEY, graph_uid uuid NOT NULL, author text NOT NULL, at timestamptz NOT NULL, body bytea NOT NULL);
CREATE TABLE labels (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, graph_uid uuid NOT NULL, decision_id uuid NOT NULL,
    event_id text NOT NULL, value boolean NOT NULL, source text NOT NULL CHECK (source IN ('Verdict', 'Import')),
    known_at timestamptz NOT NULL, propensity double precision CHECK (propensity > 0 AND propensity <= 1),
    author text NOT NULL, origin uuid NOT NULL, at timestamptz NOT NULL);
CREATE INDEX labels_of_decision ON labels (decision_id, source, seq);
CREATE INDEX labels_of_graph ON labels (graph_uid, seq);
COMMENT ON COLUMN labels.origin IS 'the review item, or the batch of an import';
COMMENT ON COLUMN labels.propensity IS 'NULL where it is not known how the events were chosen';

CREATE TABLE monitors (
    graph_uid uuid NOT NULL, band text NOT NULL, segment text NOT NULL, subject text NOT NULL, alpha double precision NOT NULL,
    wrong bigint NOT NULL, labelled bigint NOT NULL, sums double precision[] NOT NULL, began_at timestamptz NOT NULL,
    alarmed_at timestamptz, PRIMARY KEY (graph_uid, band, segment));
COMMENT ON COLUMN monitors.segment IS 'empty where the band as a whole is watched';
COMMENT ON COLUMN monitors.subject IS 'the certificate, or the scorer, whose promise is watched';

GRANT SELECT, INSERT ON label_batches, labels TO pointsman_app;
GRANT SELECT, INSERT, UPDATE ON monitors TO pointsman_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
