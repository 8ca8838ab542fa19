"""Evidence of runs: verdicts of the judge, run notes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from psycopg.types.json import Jsonb

from finbridge.core.ports import Verdict
from finbridge.core.runs import split_identity
from finbridge.hub.bulk import Columns, copy_rows
from finbridge.hub.connections import Connections

_RESULT = Columns("quality_run_id bigint, document_id text, code text, field text, detail text")


def store_verdict(connections: Connections, flow_id: str, run_id: str, verdict: Verdict) -> None:
    """See `finbridge.core.ports.Hub.store_verdict`: one row a verdict, one a bad document and rule."""
    with connections.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO hub.quality_run (flow_id, run_id, suite, rows, batch_ok, broken_batch_rules, result)
            VALUES (%s, %s, %s, %s, %s, %s::text[], %s::jsonb) RETURNING quality_run_id
            """,
            [
                *(flow_id, run_id, verdict.suite, verdict.rows, verdict.batch_ok),
                *(list(verdict.broken_batch_rules), verdict.result_json or "null"),
            ],
        )
        stored = cursor.fetchone()
        if stored is None:
            raise AssertionError("INSERT … RETURNING gave no row")
        rows = [(stored[0], bad.document_id, bad.code, bad.field, bad.detail) for bad in verdict.bad]
        copy_rows(cursor, "quality_result", _RESULT, rows)


def open_run(connections: Connections, flow_id: str, run_id: str, kind: str) -> None:
    """Note that a run began; a run that is opened again (a retry of its first task) keeps its first start."""
    with connections.transaction() as cursor:
        cursor.execute(
            "INSERT INTO hub.run (run_id, flow_id, kind) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [run_id, flow_id, kind],
        )


def close_run(connections: Connections, run_id: str, note: Mapping[str, int | str]) -> None:
    """Keep a run's counts. Closed again (by another company's part of it), newer counts replace older ones.

    Also of a run that began under the release before, which stored Airflow's run id alone.
    """
    dag_id, of_airflow = split_identity(run_id)
    with connections.transaction() as cursor:
        cursor.execute(
            """
            UPDATE hub.run SET closed_at = now(), note = coalesce(note, '{}') || %s
            WHERE run_id = %s OR (run_id = %s AND flow_id || '__' || kind = %s)
            """,
            [
                Jsonb(dict(note), dumps=lambda found: json.dumps(found, ensure_ascii=False)),
                *(run_id, of_airflow, dag_id),
            ],
        )


def last_run_started(connections: Connections, flow_id: str) -> datetime | None:
    """When the newest run of a flow began (UTC), None where there was none."""
    with connections.session() as connection:
        found = connection.execute("SELECT max(started_at) FROM hub.run WHERE flow_id = %s", [flow_id]).fetchone()
    return found[0] if found else None
