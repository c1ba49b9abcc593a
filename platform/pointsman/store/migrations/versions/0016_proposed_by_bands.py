"""What a band asks for and people have to approve waits for them too, and an action says whether a certificate speaks for it.

A host of the release before, which runs until it is replaced, says neither: its actions need nobody, or are refused.
"""

from alembic import op

revision = "0016"
down_revision = "0015"

CERTIFIED = "ALTER TABLE outbox ADD certified boolean NOT NULL DEFAULT false"

# Each text stands once in the function as 0006 made it.
COMMIT = """
DO $$
DECLARE
    before text := pg_get_functiondef('pointsman_commit'::regproc);
    after text := before;
BEGIN
    after := replace(after,
        'INSERT INTO outbox (day, action_id, decision_id, graph_uid, target, operation, parameters, created_at, expires_at)',
        'INSERT INTO outbox (day, action_id, decision_id, graph_uid, target, operation, parameters, created_at, expires_at,
            certified, people, proposer, evidence, state, reason)');
    after := replace(after,
        'SELECT day, a.action_id, a.decision_id, graph, a.target, a.operation, a.parameters, at, a.expires_at
        FROM json_to_recordset(new_actions) AS a (action_id uuid, decision_id uuid, target text, operation text,
            parameters jsonb, expires_at timestamptz)',
        'SELECT day, a.action_id, a.decision_id, graph, a.target, a.operation, a.parameters, at, a.expires_at,
            coalesce(a.certified, false), coalesce(a.people, 0), CASE WHEN a.people > 0 THEN ''pointsman'' END,
            decode(a.evidence, ''hex''), CASE WHEN a.people > 0 THEN ''checked'' ELSE ''approved'' END,
            CASE WHEN a.people > 0 THEN ''AwaitingApproval'' END
        FROM json_to_recordset(new_actions) AS a (action_id uuid, decision_id uuid, target text, operation text,
            parameters jsonb, expires_at timestamptz, certified boolean, people smallint, evidence text)');
    IF after NOT LIKE '%proposer, evidence, state, reason)%' OR after NOT LIKE '%evidence text)%' THEN
        RAISE EXCEPTION 'pointsman_commit is not as it was';
    END IF;
    EXECUTE after;
END $$;
"""


def upgrade() -> None:
    op.execute(CERTIFIED)
    op.execute(COMMIT)
