"""One open and one close for each cause and company, however often it is seen.

People are told at least once: the mark that they know is committed after the message was accepted. A crash between the
two gives a second message rather than none. Two processes never tell about one alarm at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from psycopg import sql
from psycopg.rows import class_row, dict_row

from finbridge.core.notify import Alarm, Sighting
from finbridge.hub.bulk import Columns, arrays
from finbridge.hub.connections import Connections

_SEEN = Columns("flow_id text, company text, cause text, detail text, dag_id text, run_id text, task_id text")
_SEE = sql.SQL("""
INSERT INTO hub.alarm AS t (flow_id, company, cause, detail, dag_id, run_id, task_id)
SELECT flow_id, company, cause, detail, dag_id, run_id, task_id
FROM {}
ON CONFLICT (flow_id, company, cause) WHERE closed_at IS NULL DO UPDATE SET
    times = t.times + 1, last_seen_at = now(), detail = excluded.detail,
    dag_id = excluded.dag_id, run_id = excluded.run_id, task_id = excluded.task_id
""").format(_SEEN.unnested)
_ALARMS = sql.SQL("""
SELECT alarm_id, flow_id, company, cause, detail, dag_id, run_id, task_id, opened_at, last_seen_at, times,
       told_open_at, closed_at, told_close_at
FROM hub.alarm
""")
_UNTOLD = _ALARMS + sql.SQL("""
WHERE (closed_at IS NULL AND told_open_at IS NULL) OR (closed_at IS NOT NULL AND told_close_at IS NULL)
ORDER BY coalesce(closed_at, opened_at), alarm_id LIMIT 1 FOR UPDATE SKIP LOCKED
""")
_TOLD = sql.SQL("UPDATE hub.alarm SET {} = clock_timestamp() WHERE alarm_id = %s")
_OPEN = _ALARMS + sql.SQL("WHERE closed_at IS NULL AND (%s::text IS NULL OR flow_id = %s) ORDER BY opened_at")
_RECENT = _ALARMS + sql.SQL("ORDER BY opened_at DESC LIMIT %s")


class Alarms:
    """Each method is one transaction and raises RetryLater where the database is away."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def see(self, sightings: Iterable[Sighting]) -> None:
        """Open an alarm for each, or note on the open one that it was seen again; the newest place is kept."""
        distinct = {(s.flow_id, s.company, s.cause): s for s in sightings}
        rows = [
            (s.flow_id, s.company, s.cause, s.detail, s.dag_id, s.run_id, s.task_id)
            for _, s in sorted(distinct.items())  # one order of locks in every process
        ]
        if not rows:
            return
        with self._connections.transaction() as cursor:
            cursor.execute(_SEE, arrays(_SEEN, rows))

    def close(
        self,
        flow_id: str,
        *,
        causes: Collection[str] | None = None,
        company: str | None = None,
        dag_ids: Collection[str] | None = None,
        task_id: str | None = None,
    ) -> int:
        """Close the open alarms of a flow that fit every given condition; how many."""
        with self._connections.transaction() as cursor:
            cursor.execute(
                """
                UPDATE hub.alarm SET closed_at = now()
                WHERE closed_at IS NULL AND flow_id = %(flow)s
                  AND (%(causes)s::text[] IS NULL OR cause = ANY(%(causes)s))
                  AND (%(company)s::text IS NULL OR company = %(company)s)
                  AND (%(dags)s::text[] IS NULL OR dag_id = ANY(%(dags)s))
                  AND (%(task)s::text IS NULL OR task_id = %(task)s)
                """,
                {
                    "flow": flow_id,
                    "causes": None if causes is None else list(causes),
                    "company": company,
                    "dags": None if dag_ids is None else list(dag_ids),
                    "task": task_id,
                },
            )
            return cursor.rowcount

    def tell(self, send: Callable[[Alarm], bool], limit: int = 50) -> int:
        """Give each alarm that people do not know of to ``send``; True from it means that the message was accepted.

        An alarm that closed before anybody was told of it is told once, as closed. Returns how many were accepted;
        the first refusal ends it (the others wait for the next call).
        """
        accepted = 0
        while accepted < limit and self._tell_one(send):
            accepted += 1
        return accepted

    def _tell_one(self, send: Callable[[Alarm], bool]) -> bool:
        with self._connections.session() as connection, connection.transaction():
            found = connection.cursor(row_factory=class_row(Alarm)).execute(_UNTOLD).fetchone()
            if found is None or not send(found):
                return False
            column = "told_open_at" if found.closed_at is None else "told_close_at"
            connection.execute(_TOLD.format(sql.Identifier(column)), [found.alarm_id])
            return True

    def companies_of(self, flow_id: str, document_ids: Collection[str]) -> dict[str, int]:
        """Company -> how many of these documents; the empty company for documents that name none."""
        with self._connections.session() as connection:
            rows = connection.execute(
                "SELECT company, count(*) FROM hub.document WHERE flow_id = %s AND document_id = ANY(%b::text[]) "
                "GROUP BY company ORDER BY company",
                [flow_id, list(document_ids)],
            ).fetchall()
        return dict(rows)

    def open_rows(self, flow_id: str | None = None) -> list[dict[str, Any]]:
        """Open alarms, oldest first, as rows of the table: for pages."""
        return self._rows(_OPEN, [flow_id, flow_id])

    def recent_rows(self, limit: int = 50) -> list[dict[str, Any]]:
        """Open and closed alarms, newest first, as rows of the table."""
        return self._rows(_RECENT, [limit])

    def _rows(self, statement: sql.Composed, values: list[object]) -> list[dict[str, Any]]:
        with self._connections.session() as connection:
            return connection.cursor(row_factory=dict_row).execute(statement, values).fetchall()
