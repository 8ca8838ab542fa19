"""Fixtures of the whole test tree, registered once: a session's servers are shared by all folders."""

from __future__ import annotations

from tests.stack_fixtures import ledger_server

__all__ = ["ledger_server"]
