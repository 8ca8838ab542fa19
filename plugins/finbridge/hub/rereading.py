"""Documents that stand because they could not be read, and when they are looked at again.

The hold says since when, the trail when it was tried and whether a person asked: nothing else is kept.
"""

from __future__ import annotations

from finbridge.core.documents import DocumentRef
from finbridge.core.rereading import UNREAD
from finbridge.hub.bulk import copy_rows
from finbridge.hub.connections import Connections
from finbridge.hub.register import TRAIL
from finbridge.hub.timing import Timing

_ACTOR = "collect"
_TRIED = "read_again"
#: The next look lies as far ahead of the last one as that lies behind the first: the distances double.
_DUE = """
WITH held AS (
    SELECT document_id, min(opened_at) AS since FROM hub.hold
    WHERE flow_id = %(flow)s AND closed_at IS NULL AND origin = 'plan' AND code = ANY(%(codes)b::text[])
    GROUP BY document_id
)
SELECT d.document_id, d.template, d.stamp
FROM held h
JOIN hub.document d ON d.flow_id = %(flow)s AND d.document_id = h.document_id,
LATERAL (
    SELECT max(at) FILTER (WHERE action = %(tried)s) AS tried, max(at) FILTER (WHERE action = 'retry') AS asked
    FROM hub.trail t WHERE t.document_id = d.document_id AND t.flow_id = d.flow_id
) t,
LATERAL (SELECT greatest(h.since, t.tried) AS last) l
WHERE d.problem_code = ANY(%(codes)b::text[]) AND (
    t.asked > l.last
    OR l.last + least(greatest(l.last - h.since, %(least)s * interval '1 second'), %(most)s * interval '1 second')
       <= clock_timestamp()
)
ORDER BY l.last, d.document_id LIMIT %(limit)s
"""


def take_unread(connections: Connections, flow_id: str, limit: int, timing: Timing) -> list[DocumentRef]:
    """See `finbridge.core.rereading.Rereading.take_unread`. Each look stands in the trail."""
    asked = {
        "flow": flow_id,
        "codes": sorted(UNREAD),
        "tried": _TRIED,
        "least": timing.unread_least_seconds,
        "most": timing.unread_most_seconds,
        "limit": limit,
    }
    with connections.transaction() as cursor:
        found = [DocumentRef(*row) for row in cursor.execute(_DUE, asked).fetchall()]
        rows = [(_ACTOR, flow_id, ref.document_id, None, _TRIED, None, None, "", None, None, None) for ref in found]
        copy_rows(cursor, "trail", TRAIL, rows)
    return found
