"""What people and auditors read: holds, trail, verdicts, runs."""

from __future__ import annotations

STATEMENTS = (
    """
    CREATE TABLE hub.hold (
        hold_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        flow_id     text        NOT NULL,
        document_id text        NOT NULL,
        key         text        NOT NULL DEFAULT '',
        origin      text        NOT NULL CHECK (origin IN ('plan', 'deliver', 'write_back')),
        code        text        NOT NULL,
        field       text        NOT NULL,
        detail      text        NOT NULL,
        text_zh     text        NOT NULL,
        text_en     text        NOT NULL,
        turn        text        NOT NULL,
        opened_at   timestamptz NOT NULL DEFAULT now(),
        closed_at   timestamptz,
        closed_by   text
    )
    """,
    "COMMENT ON TABLE hub.hold IS 'the named lists: why something stands, and whose turn it is; no personal data'",
    """
    CREATE UNIQUE INDEX hold_open ON hub.hold (document_id, flow_id, origin, key, code, field, md5(detail))
    WHERE closed_at IS NULL
    """,
    """
    CREATE TABLE hub.trail (
        trail_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at          timestamptz NOT NULL DEFAULT now(),
        actor       text        NOT NULL,
        flow_id     text        NOT NULL,
        document_id text        NOT NULL,
        key         text,
        action      text        NOT NULL,
        from_state  text,
        to_state    text,
        reason      text        NOT NULL DEFAULT '',
        mapping     text,
        before_hash text,
        after_hash  text
    )
    """,
    "COMMENT ON TABLE hub.trail IS '留痕: who did what when, append-only, written in the transaction of the change'",
    "CREATE INDEX trail_document ON hub.trail (document_id, flow_id)",
    """
    CREATE TABLE hub.quality_run (
        quality_run_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        flow_id            text        NOT NULL,
        run_id             text        NOT NULL,
        suite              text        NOT NULL,
        at                 timestamptz NOT NULL DEFAULT now(),
        rows               bigint      NOT NULL,
        batch_ok           boolean     NOT NULL,
        broken_batch_rules text[]      NOT NULL,
        result             jsonb       NOT NULL
    )
    """,
    "CREATE INDEX quality_run_flow ON hub.quality_run (flow_id, run_id)",
    """
    CREATE TABLE hub.quality_result (
        quality_run_id bigint NOT NULL REFERENCES hub.quality_run,
        document_id    text   NOT NULL,
        code           text   NOT NULL,
        field          text   NOT NULL,
        detail         text   NOT NULL
    )
    """,
    "CREATE INDEX quality_result_run ON hub.quality_result (quality_run_id)",
    """
    CREATE TABLE hub.run (
        run_id     text        PRIMARY KEY,
        flow_id    text        NOT NULL,
        kind       text        NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(),
        closed_at  timestamptz,
        note       jsonb
    )
    """,
    "CREATE INDEX run_flow ON hub.run (flow_id, started_at)",
)
