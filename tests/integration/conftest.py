"""Fixtures of the integration tests."""

from __future__ import annotations

from tests.integration.replay_fixtures import workshop

__all__ = ["workshop"]
