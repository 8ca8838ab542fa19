"""Fixtures of the integration tests."""

from __future__ import annotations

from tests.integration.claim_fixtures import claim_judge, claim_world
from tests.integration.replay_fixtures import workshop

__all__ = ["claim_judge", "claim_world", "workshop"]
