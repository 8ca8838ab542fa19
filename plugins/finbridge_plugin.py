"""What Airflow loads from this suite: listeners, pages and their menu entry. Wiring only."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun


class RunNotes:
    """Puts the counts of a finished run of ours into its note, and what a month is for when it begins."""

    @hookimpl
    def on_dag_run_running(self, dag_run: DagRun, msg: str) -> None:  # noqa: ARG002 - Airflow names the arguments
        """A month is labelled as soon as it begins."""
        if dag_run.dag_id.endswith("__monthly"):
            from finbridge.tasks.month_note import put_label

            put_label(dag_run)

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun, msg: str) -> None:  # noqa: ARG002 - Airflow names the arguments
        """Green runs."""
        _note(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:  # noqa: ARG002 - Airflow names the arguments
        """Red runs."""
        _note(dag_run)


def _note(dag_run: DagRun) -> None:
    if dag_run.dag_id.endswith(("__wake", "__sweep", "__monthly", "__manual")) or dag_run.dag_id.startswith(
        "finbridge__"
    ):
        from finbridge.tasks.run_note import put_note

        put_note(dag_run)


class FinbridgePlugin(AirflowPlugin):
    """The suite in Airflow."""

    name = "finbridge"
    listeners: list[Any] = [RunNotes()]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # built when the API server asks for it
        """The pages; schedulers and tasks load this file too and never import them."""
        from finbridge.pages.app import build_app
        from finbridge.pages.menu import PREFIX

        return [{"app": build_app(), "url_prefix": PREFIX, "name": "finbridge"}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]  # reads Airflow's configuration then
        """The entry in the navigation; the pages have a menu of their own."""
        from finbridge.pages.menu import external_views

        return external_views()
