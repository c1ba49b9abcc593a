"""A decision may be reviewed a second time, and with a known answer; who holds a key is told apart from the key's name."""

from alembic import op

revision = "0010"
down_revision = "0009"

TABLES = """
ALTER TABLE reviews ADD purpose text NOT NULL DEFAULT 'First' CHECK (purpose IN ('First', 'Second', 'Golden')),
    ADD known text, ADD author text, ADD claimed_at timestamptz;
ALTER TABLE reviews DROP CONSTRAINT reviews_decision_id_key;
CREATE UNIQUE INDEX reviews_first ON reviews (decision_id) WHERE purpose = 'First';
CREATE INDEX reviews_again ON reviews (decision_id) WHERE purpose <> 'First';
COMMENT ON COLUMN reviews.known IS 'the answer of a golden item';
COMMENT ON COLUMN reviews.author IS 'who gave the answer of a golden item';
CREATE INDEX verdicts_of_decision ON verdicts (decision_id);
CREATE INDEX verdicts_of_graph ON verdicts (graph_uid, at);

ALTER TABLE api_keys ADD subject text;
UPDATE api_keys SET subject = name;
ALTER TABLE api_keys ALTER subject SET NOT NULL;
COMMENT ON COLUMN api_keys.subject IS 'who holds it: a person is one, whatever keys they hold';
GRANT UPDATE (expires_at) ON api_keys TO pointsman_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
