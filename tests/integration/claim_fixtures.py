"""Worlds of claims for tests: the judge is loaded once a session, the processes are started once a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from finbridge.core.ports import Judge
from finbridge.quality import load_judge

from tests.hub_fixtures import HubDatabase
from tests.integration.claim_world import INCLUDE, ClaimWorld, open_world


@pytest.fixture(scope="session")
def claim_judge() -> Judge:
    """The shipped suites; importing Great Expectations takes seconds."""
    return load_judge(INCLUDE / "expectations")


@pytest.fixture(scope="module")
def claim_world(
    hub_database: HubDatabase, claim_judge: Judge, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClaimWorld]:
    """OA, hub and finance of one module; tests use claims of their own and take faults away again."""
    with open_world(tmp_path_factory.mktemp("world"), hub_database.app_dsn, claim_judge) as world:
        yield world
