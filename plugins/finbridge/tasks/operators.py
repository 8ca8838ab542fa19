"""The two tasks that belong to no system: check before loading, and the final account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from finbridge.core.errors import NeedsHuman
from finbridge.systems.links import CHECK_LINKS
from finbridge.systems.operators import FlowOperator, OpenFlow
from finbridge.systems.pausing import NOTE_KEY
from finbridge.tasks.run_note import summary

MAX_NAMED = 100
#: Runs end every few seconds on a busy day; the newest rows wait so long for their seal.
SEAL_EVERY_SECONDS = 60.0


class CheckOperator(FlowOperator):
    """Plans, translates and lets Great Expectations judge the real rows; good ones become ready, bad ones are held.

    Red only where a batch rule is broken: then nothing of that load is posted.
    """

    ui_color = "#fff7e0"
    operator_extra_links = CHECK_LINKS

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Check everything that is due; results are stored in the hub."""
        from finbridge.flows import check
        from finbridge.flows.audit import keep_mapping

        keep_mapping(flow.hub.audit, flow.flow.mapping, flow.translator)
        return check(
            flow=flow.flow,
            hub=flow.hub,
            translator=flow.translator,
            judge=flow.judge,
            worker=flow.worker,
            run_id=flow.run_id,
            only=flow.only,
        ).as_note()


class AccountOperator(FlowOperator):
    """Green only if each document is posted, on its way, or stands in a named list.

    Args:
        noted: task ids whose counts go into the run's note.
    """

    ui_color = "#f3eaff"

    def __init__(self, *, noted: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.noted = noted

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Note the run's counts; fail where a document stands nowhere, its id first."""
        from finbridge.flows import account

        ti = flow.context["ti"]
        report = account(flow=flow.flow, hub=flow.hub)
        if not report.green:
            self.log.error(unexplained(report.unexplained_ids, ti.log_url))
        counts = {name: ti.xcom_pull(task_ids=name) or {} for name in self.noted} | {self.task_id: report.as_note()}
        ti.xcom_push(key=NOTE_KEY, value=summary(counts))
        self.log.info("%s", close(flow, counts))
        if not report.green:
            text = unexplained(report.unexplained_ids, ti.log_url)
            companies = tuple(flow.hub.alarms.companies_of(self.flow_id, report.unexplained_ids))
            raise AirflowFailException(text) from NeedsHuman("unexplained", text, companies=companies)
        return report.as_note()


def close(flow: OpenFlow, counts: Mapping[str, Mapping[str, int]]) -> str:
    """Keep the run's counts and seal what it left; what the log says of the seal."""
    from finbridge.flows.audit import anchors_file, seal

    flow.hub.close_run(flow.run_id, flat(counts))
    return seal(flow.hub.audit, anchors_file(), every_seconds=SEAL_EVERY_SECONDS)


def flat(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """``{"check": {"held": 1}}`` as ``{"check.held": 1}``: the form that the hub keeps."""
    return {f"{task}.{name}": count for task, note in counts.items() for name, count in note.items()}


def unexplained(document_ids: tuple[str, ...], link: str) -> str:
    """What the failing task says first: the ids, then where to look."""
    named = " ".join(document_ids[:MAX_NAMED])
    rest = len(document_ids) - MAX_NAMED
    more = f" … +{rest}" if rest > 0 else ""
    return f"{named}{more}: 无法解释的单据 / documents that nothing explains: {len(document_ids)}. {link}"
