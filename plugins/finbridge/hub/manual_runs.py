"""Manual runs with their previews on PostgreSQL, and what a preview reads of documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from psycopg import Cursor
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from finbridge.core.errors import GiveUp
from finbridge.core.preview import Found, Known, Window
from finbridge.hub import manual_reading
from finbridge.hub.bulk import Columns, copy_rows
from finbridge.hub.connections import Connections
from finbridge.hub.register import TRAIL

_PREVIEW = Columns(
    "run_id text, taking int, position int, flow_id text, document_id text, business_number text, company text, "
    "verdict text, problems jsonb, vouchers jsonb"
)
_BEGIN = """
INSERT INTO hub.manual_run AS t (run_id, flow_id, actor, live, reason, asked) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (run_id) DO UPDATE SET closed_at = NULL, counts = NULL
WHERE (t.flow_id, t.actor, t.live, t.reason, t.asked)
    = (excluded.flow_id, excluded.actor, excluded.live, excluded.reason, excluded.asked)
RETURNING run_id
"""
_PREVIEWS = """
SELECT p.* FROM hub.preview p JOIN hub.manual_run r USING (run_id, taking) WHERE run_id = %s ORDER BY position
"""


class ManualRuns:
    """Each method is one transaction and raises RetryLater where the database is away."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # ------------------------------------------------------------ a run

    def begin(
        self, *, run_id: str, flow_id: str, actor: str, live: bool, reason: str, asked: Mapping[str, Any]
    ) -> None:
        """Note who asks for what, and why, before anything happens. The same run begun again is one run.

        Raises:
            GiveUp: a run of this id asked for something else.
        """
        with self._connections.transaction() as cursor:
            values = [run_id, flow_id, actor, live, reason, _jsonb(asked)]
            if cursor.execute(_BEGIN, values).fetchone() is None:
                raise GiveUp(
                    "run_id_taken",
                    f"运行编号已被使用，请重新触发 / another run is called {run_id} already: trigger a new one",
                )

    def set_found(self, run_id: str, found: Iterable[Found]) -> None:
        """Keep which documents the run is for."""
        with self._connections.transaction() as cursor:
            rows = [asdict(one) for one in found]
            cursor.execute("UPDATE hub.manual_run SET found = %s WHERE run_id = %s", [_jsonb(rows), run_id])

    def found(self, run_id: str) -> list[Found]:
        """What was asked for, and the document that it stands for."""
        run = self.run(run_id)
        return [Found(**one) for one in (run or {}).get("found") or ()]

    def documents(self, run_id: str) -> list[str]:
        """Ids of the documents that the run is for."""
        return list(dict.fromkeys(one.document_id for one in self.found(run_id) if one.document_id))

    def note(self, flow_id: str, document_ids: Iterable[str], *, actor: str, action: str, reason: str) -> None:
        """Trail rows about documents that change nothing."""
        rows = [(actor, flow_id, name, None, action, None, None, reason, None, None, None) for name in document_ids]
        with self._connections.transaction() as cursor:
            copy_rows(cursor, "trail", TRAIL, rows)

    def close(self, run_id: str, counts: Mapping[str, int]) -> None:
        """The run ended; what it did, by verdict."""
        with self._connections.transaction() as cursor:
            cursor.execute(
                "UPDATE hub.manual_run SET closed_at = now(), counts = %s WHERE run_id = %s",
                [_jsonb(counts), run_id],
            )

    def run(self, run_id: str) -> dict[str, Any] | None:
        """A run's row; None where there is none."""
        with self._connections.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute("SELECT * FROM hub.manual_run WHERE run_id = %s", [run_id]).fetchone()

    # ------------------------------------------------------------ its previews

    def take_anew(self, run_id: str) -> None:
        """What is added from now on takes the place of previews added before; those stay as evidence."""
        with self._connections.transaction() as cursor:
            cursor.execute("UPDATE hub.manual_run SET taking = taking + 1 WHERE run_id = %s", [run_id])

    def add_previews(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append previews (`finbridge.core.preview.Preview.row`) behind those that are there.

        Raises:
            GiveUp: there is no such run.
        """
        with self._connections.transaction() as cursor:
            flow_id, taking, position = self._next(cursor, run_id)
            values = [
                (
                    *(run_id, taking, position + number, flow_id),
                    *(row["document_id"], row["business_number"], row["company"], row["verdict"]),
                    *(_jsonb(row["problems"]), _jsonb(row["vouchers"])),
                )
                for number, row in enumerate(rows, start=1)
            ]
            copy_rows(cursor, "preview", _PREVIEW, values)

    def previews(self, run_id: str) -> list[dict[str, Any]]:
        """The run's previews in their order."""
        with self._connections.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_PREVIEWS, [run_id]).fetchall()

    def _next(self, cursor: Cursor, run_id: str) -> tuple[str, int, int]:
        """Flow, taking and the last position of a run, which stays locked."""
        run = cursor.execute(
            "SELECT flow_id, taking FROM hub.manual_run WHERE run_id = %s FOR UPDATE", [run_id]
        ).fetchone()
        if run is None:
            raise GiveUp("no_such_run", f"没有该运行 / there is no manual run {run_id}")
        last = cursor.execute(
            "SELECT max(position) FROM hub.preview WHERE run_id = %s AND taking = %s", [run_id, run[1]]
        ).fetchone()
        return run[0], run[1], (last[0] or 0) if last else 0

    # ------------------------------------------------------------ reading documents

    def by_number(self, flow_id: str, numbers: Sequence[str]) -> dict[str, list[str]]:
        """See `finbridge.core.preview.ManualStore.by_number`."""
        return manual_reading.by_number(self._connections, flow_id, numbers)

    def approved(self, flow_id: str, window: Window) -> list[str]:
        """See `finbridge.core.preview.ManualStore.approved`."""
        return manual_reading.approved(self._connections, flow_id, window)

    def known(self, flow_id: str, document_ids: Iterable[str]) -> dict[str, Known]:
        """See `finbridge.core.preview.ManualStore.known`."""
        return manual_reading.known(self._connections, flow_id, list(document_ids))


def _jsonb(value: object) -> Jsonb:
    return Jsonb(value, dumps=lambda found: json.dumps(found, ensure_ascii=False).replace("\\u0000", "\\ufffd"))
