"""Imports that tasks need, made once in the process that forks them."""

from __future__ import annotations

import gc
import logging
import os
import time
from importlib import import_module

#: Modules that hold the work of the tasks; importing them starts no thread and opens no file or connection.
MODULES = (
    "orjson",
    "uvloop",
    "psycopg",
    "aiohttp",
    "pandas",
    "duckdb",
    "finbridge.hub",
    "finbridge.mapping",
    "finbridge.flows",
    "finbridge.flows.config",
    "finbridge.quality",
    "finbridge.systems.hook",
    "finbridge.systems.operators",
    "finbridge.systems.weaver.adapter",
    "finbridge.systems.weaver.operators",
    "finbridge.systems.tryton.adapter",
    "finbridge.systems.tryton.operators",
    "finbridge.tasks.dag_factory",
    "finbridge.tasks.operators",
)
_LOG = logging.getLogger(__name__)


def warm_everything() -> float:
    """Import it all; seconds that it took. What is missing is named and left out."""
    begin = time.monotonic()
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    for name in MODULES:
        try:
            import_module(name)
        except ImportError as error:
            _LOG.warning("not warmed: %s: %s", name, error)
    from finbridge.quality import warm

    warm()
    gc.collect()
    seconds = time.monotonic() - begin
    _LOG.info("warmed in %.1f s", seconds)
    return seconds
