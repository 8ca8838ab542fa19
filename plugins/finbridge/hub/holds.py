"""The named lists: holds are opened and closed together with the change that is their reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg import Cursor

from finbridge.core.redaction import without_personal
from finbridge.hub.bulk import Columns, arrays, insert_rows
from finbridge.hub.documents import DocumentName
from finbridge.hub.reasons import reason
from finbridge.hub.register import Register

PLAN = "plan"
DELIVER = "deliver"
WRITE_BACK = "write_back"
_HOLD = Columns(
    "flow_id text, document_id text, key text, origin text, code text, field text, detail text, "
    "text_zh text, text_en text, turn text"
)
_NAMES = Columns("flow_id text, document_id text")
_OPENED_ONCE = """
ON CONFLICT (flow_id, document_id, origin, key, code, field, md5(detail)) WHERE closed_at IS NULL DO NOTHING
RETURNING flow_id, document_id, key, code
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One reason why a document (or one voucher of it) stands."""

    name: DocumentName
    origin: str
    code: str
    key: str = ""
    field: str = ""
    detail: str = ""

    def same(self) -> tuple[str, str, str, str, str, str, str]:
        """What makes two holds the same."""
        return (*self.name, self.origin, self.key, self.code, self.field, self.detail)


def open_holds(cursor: Cursor, register: Register, holds: Iterable[Hold], actors: Mapping[DocumentName, str]) -> None:
    """Open holds that are not open yet. Personal values of the document are blacked out of the detail."""
    clean = _without_personal(cursor, list(holds))
    rows = []
    for hold in clean.values():
        why = reason(hold.code)
        rows.append((*hold.name, hold.key, hold.origin, hold.code, hold.field, hold.detail, why.zh, why.en, why.turn))
    if not rows:
        return
    insert_rows(cursor, "hold", _HOLD, rows, _OPENED_ONCE)
    for flow_id, document_id, key, code in cursor.fetchall():
        name = (flow_id, document_id)
        register.note_document(name, actors[name], "hold_opened", reason=code, key=key)


def close_plan_holds(
    cursor: Cursor, register: Register, kept: Mapping[DocumentName, Sequence[Hold]], actors: Mapping[DocumentName, str]
) -> None:
    """Close the plan's open holds of these documents, except those that are named again."""
    still = _without_personal(cursor, [hold for holds in kept.values() for hold in holds])
    cursor.execute(
        """
        SELECT h.hold_id, h.flow_id, h.document_id, h.origin, h.key, h.code, h.field, h.detail
        FROM hub.hold h JOIN unnest(%b::text[], %b::text[]) AS d(flow_id, document_id) USING (flow_id, document_id)
        WHERE h.closed_at IS NULL AND h.origin = 'plan'
        """,
        arrays(_NAMES, list(kept)),
    )
    gone = [row[0] for row in cursor.fetchall() if tuple(row[1:]) not in still]
    _close(cursor, register, gone, actors)


def close_voucher_holds(
    cursor: Cursor,
    register: Register,
    keys: Iterable[str],
    actors: Mapping[DocumentName, str],
    *,
    keep: Iterable[Hold] = (),
) -> None:
    """Close the holds of vouchers that got further (or into another list); those of the plan stay the plan's."""
    wanted = list(keys)
    if not wanted:
        return
    kept = {hold.same() for hold in keep}
    documents = sorted({register.vouchers[key].name for key in wanted})
    cursor.execute(
        """
        SELECT h.hold_id, h.flow_id, h.document_id, h.origin, h.key, h.code, h.field, h.detail
        FROM hub.hold h JOIN unnest(%b::text[], %b::text[]) AS d(flow_id, document_id) USING (flow_id, document_id)
        WHERE h.closed_at IS NULL AND h.origin <> 'plan' AND h.key = ANY(%b::text[])
        """,
        [*arrays(_NAMES, documents), wanted],
    )
    _close(cursor, register, [row[0] for row in cursor.fetchall() if tuple(row[1:]) not in kept], actors)


def _close(cursor: Cursor, register: Register, hold_ids: list[int], actors: Mapping[DocumentName, str]) -> None:
    if not hold_ids:
        return
    owners = arrays(_NAMES, sorted(actors)), [actors[name] for name in sorted(actors)]
    cursor.execute(
        """
        UPDATE hub.hold h SET closed_at = now(), closed_by = a.actor
        FROM unnest(%b::text[], %b::text[], %b::text[]) AS a(flow_id, document_id, actor)
        WHERE h.hold_id = ANY(%b::bigint[]) AND h.flow_id = a.flow_id AND h.document_id = a.document_id
        RETURNING h.flow_id, h.document_id, h.key, h.code
        """,
        [*owners[0], owners[1], hold_ids],
    )
    for flow_id, document_id, key, code in cursor.fetchall():
        name = (flow_id, document_id)
        register.note_document(name, actors[name], "hold_closed", reason=code, key=key)


def blacked_out(cursor: Cursor, texts: Mapping[DocumentName, Sequence[str]]) -> dict[tuple[DocumentName, str], str]:
    """Each text without the personal values of its document, at most 2,000 characters."""
    with_text = sorted(name for name, found in texts.items() if any(found))
    values: dict[DocumentName, list[str]] = defaultdict(list)
    if with_text:
        cursor.execute(
            """
            SELECT p.flow_id, p.document_id, v.value
            FROM hub.document_personal p
            JOIN unnest(%b::text[], %b::text[]) AS d(flow_id, document_id) USING (flow_id, document_id),
            LATERAL jsonb_each_text(p.fields) AS v
            """,
            arrays(_NAMES, with_text),
        )
        for flow_id, document_id, found in cursor.fetchall():
            values[(flow_id, document_id)].append(found)
    return {
        (name, text): without_personal(text, values.get(name, ())) for name, found in texts.items() for text in found
    }


def _without_personal(cursor: Cursor, holds: Sequence[Hold]) -> dict[tuple[str, ...], Hold]:
    texts: dict[DocumentName, list[str]] = defaultdict(list)
    for hold in holds:
        texts[hold.name].append(hold.detail)
    clean = blacked_out(cursor, texts)
    found = (
        Hold(
            name=hold.name,
            origin=hold.origin,
            code=hold.code,
            key=hold.key,
            field=hold.field,
            detail=clean[(hold.name, hold.detail)],
        )
        for hold in holds
    )
    return {hold.same(): hold for hold in found}
