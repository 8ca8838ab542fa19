"""What the pages show: reading only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from finbridge.hub import view_find, view_held, view_quality, view_runs, view_today
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

    def account_names(self, system: str, company: str, codes: Sequence[str]) -> dict[str, str]:
        """What finance calls accounts; see `finbridge.hub.view_find.account_names`."""
        return view_find.account_names(self._connections, system, company, codes)

    def held(self, wanted: view_held.HeldFilter, **page: Any) -> view_held.HeldPage:
        """A page of open holds; see `finbridge.hub.view_held.held`."""
        return view_held.held(self._connections, wanted, **page)

    def held_counts(self, wanted: view_held.HeldFilter) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """Open holds by reason, turn and company; see `finbridge.hub.view_held.held_counts`."""
        return view_held.held_counts(self._connections, wanted)

    # ------------------------------------------------------------ runs that people asked for

    def run_day(self, flow_id: str, run_id: str, zone: str) -> date | None:
        """The local day on which a run began."""
        return view_runs.run_day(self._connections, flow_id, run_id, zone)

    def manual_runs(self, flow_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The newest manual runs; see `finbridge.hub.view_runs`."""
        return view_runs.manual_runs(self._connections, flow_ids)

    def verdicts(self, flow_ids: Sequence[str], run_id: str) -> dict[str, int]:
        """Documents of a manual run by verdict."""
        return view_runs.verdicts(self._connections, flow_ids, run_id)

    def previews(self, flow_ids: Sequence[str], run_id: str, **wanted: Any) -> list[dict[str, Any]]:
        """Some previews of a manual run."""
        return view_runs.previews(self._connections, flow_ids, run_id, **wanted)

    def months(self, flow_ids: Sequence[str], **wanted: Any) -> list[dict[str, Any]]:
        """The newest comparisons of months."""
        return view_runs.months(self._connections, flow_ids, **wanted)

    def months_of_run(self, flow_ids: Sequence[str], run_id: str) -> list[dict[str, Any]]:
        """The months that one run compared."""
        return view_runs.months_of_run(self._connections, flow_ids, run_id)

    def differences_counted(self, month_run_id: int) -> list[dict[str, Any]]:
        """Differences of a month by what they are."""
        return view_runs.differences_counted(self._connections, month_run_id)

    def differences(self, month_run_id: int, *, explained: bool, **wanted: Any) -> list[dict[str, Any]]:
        """Some differences of a month."""
        return view_runs.differences(self._connections, month_run_id, explained=explained, **wanted)
