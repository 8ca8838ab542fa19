"""Links from a task to the pages: Airflow shows them as buttons on the task, in the same window.

Airflow 3 asks for each link in the worker when the task ends, well or not, and keeps the address in an XCom under the
link's own key; the API server knows no more than name and key. So an address holds what the task knows: its run, its
day, its company; never a document.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

from airflow.sdk import BaseOperatorLink

from finbridge.core.runs import run_identity

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PREFIX = "/finbridge"


def address(*parts: str, **query: str) -> str:
    """A page's path on this Airflow, below whatever path its API server has; parts and values are quoted."""
    from airflow.sdk.configuration import conf

    root = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
    path = "/".join(quote(part, safe="") for part in parts)
    given = {name: value for name, value in query.items() if value}
    return f"{root}{PREFIX}/{path}" + (f"?{urlencode(given)}" if given else "")


class PageLink(BaseOperatorLink):
    """One page.

    Args:
        title: what stands on the button, in both languages: Airflow has one text for everybody.
        key: tells the link's XCom apart.
        path: task and task instance in, the address out.
    """

    def __init__(self, title: str, key: str, path: Callable[[Any, Any], str]) -> None:
        self._title = title
        self._key = key
        self._path = path

    @property
    def name(self) -> str:
        """What stands on the button."""
        return self._title

    @property
    def xcom_key(self) -> str:
        """Under which Airflow keeps the address."""
        return f"_link_finbridge_{self._key}"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page's address for this task."""
        return self._path(operator, ti_key)


def _day(operator: Any, ti: Any) -> str:
    """The local day on which the task began, by the clock of the flow's first company."""
    from finbridge.systems.operators import flow_of

    company = min(flow_of(operator.flow_id).companies.items())[1]
    began: datetime = getattr(ti, "start_date", None) or datetime.now(UTC)
    return address("today", date=began.astimezone(ZoneInfo(company.time_zone)).date().isoformat())


def _month(operator: Any, ti: Any) -> str:
    """What the run compared, and of it the company that this task is for."""
    return address("month", run_identity(ti.dag_id, ti.run_id), company=str(getattr(operator, "company", "")))


def _preview(_operator: Any, ti: Any) -> str:
    """What the run would do, or did."""
    return address("preview", run_identity(ti.dag_id, ti.run_id))


TODAY = PageLink("今日 Today", "today", _day)
HELD = PageLink("异常单据 Held", "held", lambda _operator, _ti: address("held"))
QUALITY = PageLink("质量 Quality", "quality", lambda operator, _ti: address("quality", flow=operator.flow_id))
PREVIEW = PageLink("预览 Preview", "preview", _preview)
MONTH = PageLink("月度核对 Month", "month", _month)
FLOW_LINKS = (TODAY, HELD)
CHECK_LINKS = (QUALITY, HELD)
MANUAL_LINKS = (PREVIEW, HELD)
MONTH_LINKS = (MONTH, HELD)
