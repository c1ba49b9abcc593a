"""Who holds a graph: each of its hosts has a turn, and the head names the turn, the writer and the revision that decides.

A host never takes a graph from one whose turn came later. Hosts of one name follow each other in one turn.
"""

from alembic import op

revision = "0007"
down_revision = "0006"

HOSTS = """
CREATE SEQUENCE graph_turns;
CREATE TABLE graph_hosts (
    graph_uid uuid NOT NULL, host text NOT NULL, turn bigint NOT NULL, standby boolean NOT NULL, told bigint NOT NULL,
    PRIMARY KEY (graph_uid, host));
ALTER TABLE graph_heads ADD COLUMN turn bigint NOT NULL DEFAULT 0, ADD COLUMN writer uuid, ADD COLUMN revision text;
UPDATE graph_heads h SET revision =
    (SELECT d.revision FROM decisions d WHERE d.graph_uid = h.graph_uid ORDER BY d.seq DESC LIMIT 1);
GRANT USAGE ON SEQUENCE graph_turns TO pointsman_app;
GRANT SELECT, INSERT, UPDATE ON graph_hosts TO pointsman_app;
"""


def upgrade() -> None:
    op.execute(HOSTS)
