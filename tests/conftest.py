"""Fixtures of the whole test tree, registered once: a session's servers are shared by all folders."""

from __future__ import annotations

from tests.hub_fixtures import hub, hub_database, hub_server
from tests.hub_world import hub_world
from tests.nothing_left import pytest_configure
from tests.stack_fixtures import ledger_server
from tests.two_workers import pytest_collection_modifyitems, pytest_xdist_make_scheduler

__all__ = [
    "hub",
    "hub_database",
    "hub_server",
    "hub_world",
    "ledger_server",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_xdist_make_scheduler",
]
