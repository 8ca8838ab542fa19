"""Airflow imports this in each of its processes. The scheduler forks the tasks: what it has loaded, they have at once.

Great Expectations costs 2-9 s of imports in a fresh process; warmed here, a task has it at once. The other processes
(API server, DAG processor, triggerer) do without.
"""

from __future__ import annotations

import contextlib
import os
import sys


def warm() -> None:
    """Load what tasks need, before the scheduler forks its workers. Starts no thread and opens nothing."""
    from finbridge.tasks.warming import warm_everything

    warm_everything()


if "scheduler" in sys.argv[:3] and os.environ.get("FINBRIDGE_WARM", "1") != "0":
    with contextlib.suppress(ImportError):  # a half-installed suite must not keep the scheduler from starting
        warm()
