"""The tasks that only a manual run has: read the form, look at the documents, show what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped

from finbridge.core.errors import GiveUp
from finbridge.core.preview import Asked
from finbridge.systems.links import MANUAL_LINKS
from finbridge.systems.operators import FlowOperator, OpenFlow, run_async
from finbridge.systems.pausing import NOTE_KEY
from finbridge.tasks.alarms import AlreadyTold

if TYPE_CHECKING:
    from airflow.sdk import Context

#: The part of the hub that knows which documents a manual run is for.
ASKED_BY = "manual_runs"
#: What the trail says where Airflow does not know who triggered the run: never a made-up name.
UNKNOWN_USER = "unknown user"
#: Whoever else works on a document when a live run ends gets this long to finish.
SETTLE_SECONDS = 60.0
MAX_NAMED = 50


class AskOperator(FlowOperator):
    """Reads the form and notes who asks for what, and why. A form that is not right fails here; nothing was done."""

    ui_color = "#fdf1ec"
    operator_extra_links = MANUAL_LINKS

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Read, then note."""
        asked = form_of(flow)
        flow.hub.manual_runs.begin(
            run_id=flow.run_id,
            flow_id=self.flow_id,
            actor=actor_of(flow.context),
            live=asked.live,
            reason=asked.reason,
            asked=asked.as_json(),
        )
        return {"numbers": len(asked.numbers), "window": int(asked.window is not None), "live": int(asked.live)}


class LookOperator(FlowOperator):
    """Finds the documents and reads them in the OA as they are now.

    Dry: previews are stored and the rest of the run is skipped. Live: what moved is stored, and what a new look would
    bring on is due again.

    Args:
        live_tasks: task ids that a dry run skips.
    """

    ui_color = "#e8f3ff"
    operator_extra_links = MANUAL_LINKS

    def __init__(self, *, live_tasks: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.live_tasks = live_tasks

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Look; a dry run goes on with what shows it."""
        run, asked = run_of(flow)
        with told_to_the_person():
            note = run_async(_act(flow, run, asked) if asked.live else _preview(flow, asked))
        if asked.live:
            return note
        self.log.info("试算，不执行 / a dry run: %s", note)
        flow.context["ti"].xcom_push(key="return_value", value=note)
        raise DownstreamTasksSkipped(tasks=list(self.live_tasks))  # type: ignore[no-untyped-call]  # Airflow's own


class ShowOperator(FlowOperator):
    """Stores what stands after a live run, also after one that failed, and says where to read it.

    Red where an earlier task failed, or where a live run left something open.

    Args:
        live_tasks: task ids that a live run needs.
    """

    ui_color = "#f3eaff"
    operator_extra_links = MANUAL_LINKS

    def __init__(self, *, live_tasks: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.live_tasks = live_tasks

    def work(self, flow: OpenFlow) -> dict[str, int]:
        """Close the run with its counts, a link and, where something is left, the ids first."""
        asked, link = noted(flow), link_of(flow)
        if asked is None:
            raise unfinished([], ["ask"], link)
        rows = run_async(_standing(flow)) if asked.live else flow.hub.manual_runs.previews(flow.run_id)
        counts = Counter(str(row["verdict"]) for row in rows)
        flow.hub.manual_runs.close(flow.run_id, counts)
        text = told(counts, live=asked.live)
        flow.context["ti"].xcom_push(key=NOTE_KEY, value=f"{text}\n{link}")
        self.log.info("%s: %s", text, link)
        left, failed = left_of(rows) if asked.live else [], self.failed(flow, live=asked.live)
        if left or failed:
            raise unfinished(left, failed, link)
        return dict(counts)

    def failed(self, flow: OpenFlow, *, live: bool) -> list[str]:
        """Tasks before this one that returned nothing."""
        needed = ("look", *(self.live_tasks if live else ()))
        return [name for name in needed if flow.context["ti"].xcom_pull(task_ids=name) is None]


async def _preview(flow: OpenFlow, asked: Asked) -> dict[str, int]:
    from finbridge.flows.manual import show
    from finbridge.flows.manual_find import find

    runs, counts = flow.hub.manual_runs, Counter[str]()
    async with flow.source() as source:
        found = await find(flow=flow.flow, hub=flow.hub, source=source, translator=flow.translator, asked=asked)
        runs.set_found(flow.run_id, found)
        runs.take_anew(flow.run_id)
        async for part in show(
            flow=flow.flow,
            hub=flow.hub,
            source=source,
            translator=flow.translator,
            judge=flow.judge,
            found=found,
        ):
            runs.add_previews(flow.run_id, [preview.row() for preview in part])
            counts.update(preview.verdict.value for preview in part)
    return dict(counts)


async def _act(flow: OpenFlow, run: Mapping[str, Any], asked: Asked) -> dict[str, int]:
    from finbridge.flows.manual import act
    from finbridge.flows.manual_find import find

    runs = flow.hub.manual_runs
    async with flow.source() as source:
        found = await find(flow=flow.flow, hub=flow.hub, source=source, translator=flow.translator, asked=asked)
        runs.set_found(flow.run_id, found)
        return await act(
            flow=flow.flow,
            hub=flow.hub,
            source=source,
            translator=flow.translator,
            judge=flow.judge,
            document_ids=runs.documents(flow.run_id),
            actor=run["actor"],
            reason=asked.reason,
        )


async def _standing(flow: OpenFlow) -> list[dict[str, Any]]:
    from finbridge.flows.manual import standing

    runs = flow.hub.manual_runs
    found = runs.found(flow.run_id)
    previews = await standing(flow=flow.flow, hub=flow.hub, found=found, seconds=SETTLE_SECONDS)
    rows = [preview.row() for preview in previews]
    runs.take_anew(flow.run_id)
    runs.add_previews(flow.run_id, rows)
    return rows


@contextmanager
def told_to_the_person() -> Iterator[None]:
    """What is wrong with a form is read by whoever filled it in: the task is red, and nobody else is alarmed."""
    from finbridge.flows.manual_form import FORM_ERRORS

    try:
        yield
    except GiveUp as error:
        if error.code not in FORM_ERRORS:
            raise
        raise AirflowFailException(f"{error.code}: {error.staff}") from AlreadyTold(error.code, error.staff)


def form_of(flow: OpenFlow) -> Asked:
    """The form, read strictly."""
    from finbridge.flows.manual_form import parse_form

    with told_to_the_person():
        return parse_form(flow.context["params"], flow.flow.companies)


def run_of(flow: OpenFlow) -> tuple[Mapping[str, Any], Asked]:
    """The run as its first task noted it.

    Raises:
        GiveUp: it was never noted.
    """
    run = flow.hub.manual_runs.run(flow.run_id)
    if run is None:
        raise GiveUp("no_such_run", "没有该手工运行的记录，请重新触发 / this run was never noted: trigger a new one")
    return run, Asked.of_run(run)


def noted(flow: OpenFlow) -> Asked | None:
    """What the run was asked for; None where its form was not right, so that nothing was noted."""
    run = flow.hub.manual_runs.run(flow.run_id)
    return Asked.of_run(run) if run is not None else None


def actor_of(context: Context) -> str:
    """Who triggered the run, as Airflow knows it."""
    return getattr(context["dag_run"], "triggering_user_name", None) or UNKNOWN_USER


def link_of(flow: OpenFlow) -> str:
    """The page of this run."""
    base = str(flow.context["ti"].log_url).partition("/dags/")[0]
    return f"{base}/finbridge/preview/{quote(flow.run_id, safe='')}"


def told(counts: Mapping[str, int], *, live: bool) -> str:
    """One line for the run's note."""
    kind = "正式执行 / live" if live else "试算，未做任何更改 / dry run, nothing was changed"
    return f"{kind}: " + (" · ".join(f"{verdict} {count}" for verdict, count in sorted(counts.items())) or "—")


def left_of(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of a live run that were not brought to an end."""
    from finbridge.flows.manual import GREEN

    return [row for row in rows if row["verdict"] not in GREEN]


def unfinished(left: Sequence[Mapping[str, Any]], failed: Sequence[str], link: str) -> Exception:
    """What makes a run red: the ids and what stands, or the task that failed before; and where to read it."""
    names = [row["document_id"] or row["business_number"] for row in left]
    parts = []
    if names:
        more = f" … +{len(names) - MAX_NAMED}" if len(names) > MAX_NAMED else ""
        verdicts = sorted(Counter(row["verdict"] for row in left).items())
        stand = ", ".join(f"{verdict} {count}" for verdict, count in verdicts)
        parts.append(
            f"{' '.join(names[:MAX_NAMED])}{more}: 未入账的单据 / documents that were not brought to an end "
            f"({stand}): {len(names)}."
        )
    if failed:
        parts.append(
            f"前面的任务失败，请先看它的日志 / an earlier task failed, see its log first: {', '.join(failed)}."
        )
    text = " ".join((*parts, link))
    failure = AirflowFailException(text)
    failure.__cause__ = AlreadyTold("manual_run_unfinished", text)
    return failure
