"""What the pages show: reading only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finbridge.hub import view_find, view_held, view_quality, view_today
from finbridge.hub.connections import Connections


class Views:
    """Each method is one transaction and raises RetryLater where the database is away."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # ------------------------------------------------------------ today

    def today(self, places: Sequence[view_today.Place]) -> view_today.Today:
        """Where the documents of a day and all open ones stand; see `finbridge.hub.view_today`."""
        return view_today.today(self._connections, places)

    def standing_documents(
        self, places: Sequence[view_today.Place], scope: view_today.Scope, **wanted: Any
    ) -> list[dict[str, Any]]:
        """The documents behind a number of today; see `finbridge.hub.view_today.standing_documents`."""
        return view_today.standing_documents(self._connections, places, scope, **wanted)

    # ------------------------------------------------------------ quality

    def validations(self, flow_id: str, suite: str) -> list[dict[str, Any]]:
        """The newest validations of a suite; see `finbridge.hub.view_quality.validations`."""
        return view_quality.validations(self._connections, flow_id, suite)

    def rule_answers(self, flow_id: str, suite: str) -> list[dict[str, Any]]:
        """Each rule's answer in each of them; see `finbridge.hub.view_quality.rule_answers`."""
        return view_quality.rule_answers(self._connections, flow_id, suite)

    def bad_documents(self, flow_id: str, suite: str, oldest: int, **wanted: Any) -> list[dict[str, Any]]:
        """Documents that a suite named; see `finbridge.hub.view_quality.bad_documents`."""
        return view_quality.bad_documents(self._connections, flow_id, suite, oldest, **wanted)

    # ------------------------------------------------------------ find, document, held

    def find(self, flow_ids: Sequence[str], words: Sequence[str]) -> view_find.Found:
        """Documents and runs that numbers name; see `finbridge.hub.view_find.find`."""
        return view_find.find(self._connections, flow_ids, words)

    def document(self, flow_id: str, document_id: str) -> dict[str, Any] | None:
        """All that the hub knows about a document; see `finbridge.hub.view_find.document`."""
        return view_find.document(self._connections, flow_id, document_id)

    def held(self, wanted: view_held.HeldFilter, **page: Any) -> view_held.HeldPage:
        """A page of open holds; see `finbridge.hub.view_held.held`."""
        return view_held.held(self._connections, wanted, **page)

    def held_counts(self, wanted: view_held.HeldFilter) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Open holds by reason, turn and company; see `finbridge.hub.view_held.held_counts`."""
        return view_held.held_counts(self._connections, wanted)
