"""The decision store.

Append-only tables are partitioned by `day`, the UTC date of the commit, so that retention drops a partition. What makes
an event's decision unique stands in `decision_keys`, which is not partitioned: a unique constraint cannot span
partitions. An event with a `history_position` was imported to warm up features and has no decision.
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE objects (
    kind text NOT NULL, name text NOT NULL, uid uuid NOT NULL UNIQUE, generation bigint NOT NULL,
    document jsonb NOT NULL, status jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name));

CREATE TABLE revisions (
    kind text NOT NULL, name text NOT NULL, digest text NOT NULL, body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name, digest));

CREATE TABLE graph_heads (
    graph_uid uuid PRIMARY KEY, next_seq bigint NOT NULL DEFAULT 0, epoch bigint NOT NULL DEFAULT 0,
    received bigint NOT NULL DEFAULT 0, duplicates bigint NOT NULL DEFAULT 0);

CREATE TABLE source_offsets (
    graph_uid uuid NOT NULL, source text NOT NULL, partition int NOT NULL, next_offset bigint NOT NULL,
    PRIMARY KEY (graph_uid, source, partition));

CREATE TABLE decision_keys (
    decision_id uuid PRIMARY KEY, event_digest bytea NOT NULL, day date NOT NULL, seq bigint NOT NULL);

CREATE TABLE events (
    day date NOT NULL, stream_uid uuid NOT NULL, event_id text NOT NULL, digest bytea NOT NULL, body bytea NOT NULL,
    event_time timestamptz NOT NULL, known_at timestamptz NOT NULL, history_position bigint,
    PRIMARY KEY (day, stream_uid, event_id)) PARTITION BY RANGE (day);
CREATE INDEX events_history ON events (stream_uid, history_position) WHERE history_position IS NOT NULL;

CREATE TABLE decisions (
    day date NOT NULL, decision_id uuid NOT NULL, graph_uid uuid NOT NULL, stream_uid uuid NOT NULL,
    event_id text NOT NULL, seq bigint NOT NULL, revision text NOT NULL, score double precision, band text, outcome text NOT NULL,
    reasons text[] NOT NULL, decided_at timestamptz NOT NULL, body bytea NOT NULL,
    PRIMARY KEY (day, decision_id)) PARTITION BY RANGE (day);
CREATE INDEX decisions_in_order ON decisions (graph_uid, seq);

CREATE TABLE actions (
    day date NOT NULL, action_id uuid NOT NULL, decision_id uuid NOT NULL, graph_uid uuid NOT NULL, name text NOT NULL,
    target text NOT NULL, operation text NOT NULL, parameters jsonb NOT NULL,
    created_at timestamptz NOT NULL, expires_at timestamptz,
    PRIMARY KEY (day, action_id)) PARTITION BY RANGE (day);
CREATE INDEX actions_of_decision ON actions (decision_id);

CREATE TABLE effects (
    day date NOT NULL, effect_id uuid NOT NULL, action_id uuid NOT NULL, fence bigint NOT NULL, state text NOT NULL,
    attempt int NOT NULL, http_status int, detail jsonb NOT NULL DEFAULT '{}', at timestamptz NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (day, effect_id)) PARTITION BY RANGE (day);
CREATE INDEX effects_of_action ON effects (action_id);

CREATE TABLE outbox (
    action_id uuid PRIMARY KEY, day date NOT NULL, decision_id uuid NOT NULL, graph_uid uuid NOT NULL,
    target text NOT NULL, operation text NOT NULL, parameters jsonb NOT NULL,
    state text NOT NULL DEFAULT 'approved', fence bigint NOT NULL DEFAULT 0, lease_owner text, lease_until timestamptz,
    attempts int NOT NULL DEFAULT 0, next_attempt_at timestamptz NOT NULL DEFAULT now(), reason text,
    created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz);
CREATE INDEX outbox_due ON outbox (target, next_attempt_at)
    WHERE state NOT IN ('observed', 'rejected', 'unknown', 'compensated');

CREATE TABLE reviews (
    review_id uuid PRIMARY KEY, decision_id uuid NOT NULL UNIQUE, graph_uid uuid NOT NULL, event_id text NOT NULL,
    case_key text, priority double precision, reasons text[] NOT NULL, state text NOT NULL DEFAULT 'open',
    opened_at timestamptz NOT NULL, deadline_at timestamptz);
CREATE INDEX reviews_open ON reviews (graph_uid, priority DESC NULLS LAST) WHERE state = 'open';

CREATE TABLE dead_letters (
    dead_letter_id uuid PRIMARY KEY, graph_uid uuid NOT NULL, stream_uid uuid NOT NULL, event_id text,
    source text NOT NULL, source_offset bigint, reason text NOT NULL, place text NOT NULL, message text NOT NULL,
    body bytea NOT NULL, at timestamptz NOT NULL, state text NOT NULL DEFAULT 'open');

CREATE TABLE ledger (index bigint PRIMARY KEY, leaf bytea NOT NULL, kind text NOT NULL, ref uuid NOT NULL);
CREATE INDEX ledger_ref ON ledger (ref);
CREATE TABLE salts (index bigint PRIMARY KEY, salt bytea NOT NULL);
CREATE TABLE ledger_head (id int PRIMARY KEY CHECK (id = 1), size bigint NOT NULL, root bytea NOT NULL);
INSERT INTO ledger_head VALUES (1, 0, decode(repeat('00', 32), 'hex'));
"""

DAYS = """
CREATE FUNCTION pointsman_ensure_day(wanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE parent text; part text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['events', 'decisions', 'actions', 'effects'] LOOP
        part := parent || '_' || to_char(wanted, 'YYYYMMDD');
        IF to_regclass('public.' || part) IS NULL THEN
            PERFORM pg_advisory_xact_lock(7300412002);
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                           part, parent, wanted, wanted + 1);
        END IF;
    END LOOP;
END $$;
"""

APPEND_ONLY = "events, decisions, actions, effects, ledger"
MUTABLE = "objects, graph_heads, source_offsets, outbox, reviews, dead_letters"

GRANTS = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pointsman_app') THEN CREATE ROLE pointsman_app; END IF;
END $$;
GRANT USAGE ON SCHEMA public TO pointsman_app;
GRANT SELECT, INSERT ON {APPEND_ONLY}, revisions, decision_keys, salts TO pointsman_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON {MUTABLE} TO pointsman_app;
GRANT SELECT, UPDATE ON ledger_head TO pointsman_app;
REVOKE EXECUTE ON FUNCTION pointsman_ensure_day(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pointsman_ensure_day(date) TO pointsman_app;
"""


def upgrade() -> None:
    for script in (TABLES, DAYS, GRANTS):
        op.execute(script)
