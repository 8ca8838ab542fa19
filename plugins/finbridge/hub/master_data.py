"""Accounts, cost centres and parties as finance shows them. Names of parties may be people's: they stay here."""

from __future__ import annotations

from collections.abc import Sequence

from finbridge.core.codes import MasterKind, MasterRecord
from finbridge.core.errors import GiveUp
from finbridge.hub.bulk import Columns, arrays, insert_rows
from finbridge.hub.connections import Connections

_ROW = Columns("system text, company text, kind text, code text, name text, active boolean")
_MERGED = """
ON CONFLICT (system, company, kind, code) DO UPDATE SET name = excluded.name, active = excluded.active, read_at = now()
WHERE (t.name, t.active) IS DISTINCT FROM (excluded.name, excluded.active)
"""
_KEYS = Columns("company text, kind text, code text")


class MasterData:
    """Each method is one transaction and raises RetryLater where the database is away."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def replace(self, system: str, records: Sequence[MasterRecord]) -> dict[str, int]:
        """Make ``records`` what is known of a system: added or changed where they differ, forgotten where gone.

        Args:
            system: the finance system and its connection, e.g. ``tryton:tryton_default``.

        Returns:
            ``{"changed": …, "gone": …}``.

        Raises:
            GiveUp: there is not one account: that is no chart, and what is known stays.
        """
        if not any(record.kind is MasterKind.ACCOUNT for record in records):
            raise GiveUp(
                "master_data_empty",
                "财务系统没有返回任何科目，已有主数据保持不变 / finance shows not one account: what is known stays. "
                "Look at the connection's user and companies",
            )
        known = {(r.company, r.kind.value, r.code): r for r in records}
        rows = [(system, r.company, r.kind.value, r.code, r.name, r.active) for r in known.values()]
        with self._connections.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"finbridge master {system}"])
            insert_rows(cursor, "master_data", _ROW, rows, _MERGED)
            changed = cursor.rowcount
            cursor.execute(
                """
                DELETE FROM hub.master_data m WHERE m.system = %s AND NOT EXISTS (
                    SELECT 1 FROM unnest(%b::text[], %b::text[], %b::text[]) AS u(company, kind, code)
                    WHERE (u.company, u.kind, u.code) = (m.company, m.kind, m.code)
                )
                """,
                [system, *arrays(_KEYS, list(known))],
            )
            return {"changed": changed, "gone": cursor.rowcount}

    def all(self, system: str) -> list[MasterRecord]:
        """All that is known of a system, in order."""
        with self._connections.session() as connection:
            rows = connection.execute(
                "SELECT kind, company, code, name, active FROM hub.master_data WHERE system = %s "
                "ORDER BY kind, company, code",
                [system],
            ).fetchall()
        return [
            MasterRecord(kind=MasterKind(kind), company=company, code=code, name=name, active=active)
            for kind, company, code, name, active in rows
        ]
