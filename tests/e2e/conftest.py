"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from tests.e2e.pages_world import pages_world

__all__ = ["pages_world"]
