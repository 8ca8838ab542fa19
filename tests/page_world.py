"""The pages without Airflow's login: the one guard is overridden here, for tests of what the pages show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from fastapi import FastAPI
from fastapi.testclient import TestClient
from finbridge.core.flow import Flow
from finbridge.hub import PostgresHub
from finbridge.pages import guard
from finbridge.pages.app import build_app


def flow_like(flow_id: str) -> Flow:
    """The declared flow under another id, so that each test has documents of its own."""
    return replace(next(iter(guard.declared_flows().values())), flow_id=flow_id)


def page_app(opener: Callable[[], PostgresHub], flow_ids: Iterable[str]) -> FastAPI:
    """The pages for a reader of these flows."""
    app = build_app(opener)
    reader = guard.Reader("reader", {flow_id: flow_like(flow_id) for flow_id in flow_ids})
    app.dependency_overrides[guard.reader] = lambda: reader
    return app


@contextmanager
def page_client(opener: Callable[[], PostgresHub], *flow_ids: str) -> Iterator[TestClient]:
    """A client of the pages; a page that fails shows as the page of the failure."""
    with TestClient(page_app(opener, flow_ids), raise_server_exceptions=False) as client:
        yield client
