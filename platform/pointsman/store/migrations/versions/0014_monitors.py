"""Monitors keep a stake and beliefs in place of sums: evidence of the one kind does not say what the other's would be."""

from alembic import op

revision = "0014"
down_revision = "0013"

TABLES = """
DELETE FROM monitors;
ALTER TABLE monitors RENAME sums TO beliefs;
ALTER TABLE monitors ADD stake double precision NOT NULL;
"""


def upgrade() -> None:
    op.execute(TABLES)
