"""What the pages need to stay quick: indexes only."""

from __future__ import annotations

STATEMENTS = (
    # The trail grows at its end: a block range index finds a day in it and costs next to nothing to keep.
    "CREATE INDEX trail_at ON hub.trail USING brin (at) WITH (pages_per_range = 32)",
    "CREATE INDEX quality_run_recent ON hub.quality_run (flow_id, suite, quality_run_id DESC) WHERE rows > 0",
)
APPEND_ONLY: tuple[str, ...] = ()
CHANGEABLE: tuple[str, ...] = ()
DELETABLE: tuple[str, ...] = ()
