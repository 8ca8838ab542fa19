"""Rules of a flow that the hub itself must know."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import Cursor

from finbridge.hub.connections import Connections


def configure_flow(connections: Connections, flow_id: str, *, write_back: bool) -> None:
    """Say whether the flow writes numbers back to its source; without this, it does.

    For a flow that does not, no write-back becomes due, and open ones are closed.
    """
    with connections.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO hub.flow_setting AS t (flow_id, write_back) VALUES (%s, %s)
            ON CONFLICT (flow_id) DO UPDATE SET write_back = excluded.write_back, changed_at = now()
            WHERE t.write_back <> excluded.write_back
            """,
            [flow_id, write_back],
        )
        if not write_back:
            cursor.execute(
                "UPDATE hub.voucher SET write_back = NULL WHERE flow_id = %s AND write_back IN ('due', 'sent')",
                [flow_id],
            )
            cursor.execute(
                """
                UPDATE hub.document SET stage = NULL, due_at = NULL
                WHERE flow_id = %s AND stage = 'write_back' AND lease_fence IS NULL
                """,
                [flow_id],
            )


def flows_without_write_back(cursor: Cursor, flow_ids: Collection[str]) -> set[str]:
    """Those of the flows that write nothing back."""
    cursor.execute(
        "SELECT flow_id FROM hub.flow_setting WHERE flow_id = ANY(%s::text[]) AND NOT write_back", [list(flow_ids)]
    )
    return {row[0] for row in cursor.fetchall()}
