"""A batch that was read from a source moves the source's offsets in its own transaction; its dead letters name their places.

The function gets one more argument, with a default: a host of the release before, which runs until it is replaced, calls it
as it did.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

FORMER = """
DROP FUNCTION pointsman_commit(
    uuid, uuid, bigint, bigint, bigint, bigint, timestamptz, text, text, boolean, uuid[], text[], bytea[], bytea[],
    timestamptz[], timestamptz[], float8[], text[], text[], text[], bytea[], bytea[], bytea[], json, json, json)
"""

COMMIT = """
CREATE FUNCTION pointsman_commit(
    graph uuid, stream uuid, writer bigint, first_seq bigint, new_received bigint, new_duplicates bigint,
    at timestamptz, revision text, source text, day_is_new boolean,
    ids uuid[], event_ids text[], digests bytea[], event_bodies bytea[], event_times timestamptz[], known_ats timestamptz[],
    scores float8[], bands text[], outcomes text[], reasons text[], bodies bytea[], leaves bytea[], new_salts bytea[],
    new_actions json, new_reviews json, new_dead_letters json, new_offsets json DEFAULT NULL)
RETURNS boolean LANGUAGE plpgsql SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_variable
DECLARE
    day date := (at AT TIME ZONE 'UTC')::date;
    known_letters bigint;
BEGIN
    UPDATE graph_heads h SET next_seq = h.next_seq + cardinality(ids), received = h.received + new_received,
        duplicates = h.duplicates + new_duplicates
    WHERE h.graph_uid = graph AND h.epoch = writer AND h.next_seq = first_seq;
    IF NOT FOUND THEN RETURN false; END IF;
    IF day_is_new THEN PERFORM pointsman_ensure_day(day); END IF;

    INSERT INTO events (day, stream_uid, event_id, digest, body, event_time, known_at)
    SELECT day, stream, e.* FROM unnest(event_ids, digests, event_bodies, event_times, known_ats) e ON CONFLICT DO NOTHING;

    INSERT INTO decisions (day, decision_id, graph_uid, stream_uid, event_id, seq, revision, score, band, outcome, reasons,
        decided_at, body)
    SELECT day, d.id, graph, stream, d.event_id, first_seq + d.number - 1, revision, d.score, d.band, d.outcome,
        string_to_array(d.reason, ' '), at, d.body
    FROM unnest(ids, event_ids, scores, bands, outcomes, reasons, bodies) WITH ORDINALITY
        AS d (id, event_id, score, band, outcome, reason, body, number);

    INSERT INTO decision_keys (decision_id, event_digest, day, seq)
    SELECT k.id, k.digest, day, first_seq + k.number - 1 FROM unnest(ids, digests) WITH ORDINALITY AS k (id, digest, number);

    IF new_actions IS NOT NULL THEN
        INSERT INTO actions (day, action_id, decision_id, graph_uid, name, target, operation, parameters, created_at, expires_at)
        SELECT day, a.action_id, a.decision_id, graph, a.name, a.target, a.operation, a.parameters, at, a.expires_at
        FROM json_to_recordset(new_actions) AS a (action_id uuid, decision_id uuid, name text, target text, operation text,
            parameters jsonb, expires_at timestamptz);
        INSERT INTO outbox (day, action_id, decision_id, graph_uid, target, operation, parameters, created_at, expires_at)
        SELECT day, a.action_id, a.decision_id, graph, a.target, a.operation, a.parameters, at, a.expires_at
        FROM json_to_recordset(new_actions) AS a (action_id uuid, decision_id uuid, target text, operation text,
            parameters jsonb, expires_at timestamptz);
        NOTIFY pointsman_outbox;
    END IF;
    IF new_reviews IS NOT NULL THEN
        INSERT INTO reviews (review_id, decision_id, graph_uid, event_id, case_key, priority, reasons, state, opened_at,
            deadline_at)
        SELECT r.decision_id, r.decision_id, graph, r.event_id, r.case_key, r.priority, r.reasons, 'open', at, r.deadline_at
        FROM json_to_recordset(new_reviews) AS r (decision_id uuid, event_id text, case_key text, priority float8,
            reasons text[], deadline_at timestamptz);
    END IF;
    IF new_dead_letters IS NOT NULL THEN
        INSERT INTO dead_letters (dead_letter_id, graph_uid, stream_uid, event_id, source, source_offset, reason, place, message,
            body, at)
        SELECT l.dead_letter_id, graph, stream, l.event_id, coalesce(l.read_from, source), l.read_at, l.reason, l.place,
            l.message, decode(l.body, 'base64'), at
        FROM json_to_recordset(new_dead_letters) AS l (dead_letter_id uuid, event_id text, read_from text, read_at bigint,
            reason text, place text, message text, body text)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS known_letters = ROW_COUNT;
        known_letters := json_array_length(new_dead_letters) - known_letters;
        IF known_letters > 0 THEN
            UPDATE graph_heads h SET duplicates = h.duplicates + known_letters WHERE h.graph_uid = graph;
        END IF;
    END IF;
    IF new_offsets IS NOT NULL THEN
        INSERT INTO source_offsets (graph_uid, source, partition, next_offset)
        SELECT graph, o.read_from, o.part, o.next_offset
        FROM json_to_recordset(new_offsets) AS o (read_from text, part int, next_offset bigint)
        ON CONFLICT ON CONSTRAINT source_offsets_pkey DO UPDATE SET next_offset = excluded.next_offset;
    END IF;

    IF cardinality(leaves) > 0 THEN PERFORM pointsman_append_leaves('decision', ids, leaves, new_salts); END IF;
    RETURN true;
END $$;
"""


def upgrade() -> None:
    op.execute(FORMER)
    op.execute(COMMIT)
