"""Fixtures of the whole test tree, registered once: a session's servers are shared by all folders."""

from __future__ import annotations

from tests.hub_fixtures import hub, hub_database, hub_server
from tests.hub_world import hub_world
from tests.stack_fixtures import ledger_server

__all__ = ["hub", "hub_database", "hub_server", "hub_world", "ledger_server"]
