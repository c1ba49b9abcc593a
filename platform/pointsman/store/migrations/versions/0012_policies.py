"""The owner's policies, for every server; the last is in force, and NULL means those of the release."""

from alembic import op

revision = "0012"
down_revision = "0011"

TABLES = """
CREATE TABLE policies (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text, at timestamptz NOT NULL);
GRANT SELECT, INSERT ON policies TO pointsman_app;
"""


def upgrade() -> None:
    op.execute(TABLES)
