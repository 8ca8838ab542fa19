"""The form of a workflow, from its newest documents: e-cology has no call that lists columns without a document.

A detail table without rows shows its columns without labels; documents are read, the newest first, until each detail
table showed a row or enough of them were seen.
"""

# The vendor's own spelling.
# ruff: noqa: N815

from __future__ import annotations

from typing import Any

import orjson
from pydantic import ValidationError

from finbridge.core.errors import GiveUp
from finbridge.core.form import Form, FormColumn, FormTable
from finbridge.systems.weaver.client import Conditions, WeaverClient
from finbridge.systems.weaver.models import ListRow, Text, Wire, WorkflowBaseInfo, shape_error

_PAGE = 50
_LOOKED_AT = 10


class ShownField(Wire):
    """One column of a record with all that the form says about it."""

    fieldName: str
    fieldShowName: Text = ""
    fieldDBType: Text = ""
    fieldValue: Text = ""
    edit: Any = False
    mand: Any = False

    @property
    def column(self) -> FormColumn:
        """As the core knows it."""
        return FormColumn(
            name=self.fieldName,
            label=self.fieldShowName.strip(),
            db_type=self.fieldDBType,
            mandatory=_true(self.mand),
            editable=_true(self.edit),
            sample=self.fieldValue,
        )


class ShownRecord(Wire):
    """A row."""

    workflowRequestTableFields: list[ShownField] = []


class ShownMain(Wire):
    """The main table."""

    tableDBName: Text = ""
    requestRecords: list[ShownRecord] = []


class ShownDetail(Wire):
    """A detail table; ``tableFieldName`` is there without rows too."""

    tableDBName: str
    tableTitle: Text = ""
    tableFieldName: list[str] = []
    workflowRequestTableRecords: list[ShownRecord] = []


class ShownRequest(Wire):
    """``data`` of getWorkflowRequest, as a form."""

    workflowBaseInfo: WorkflowBaseInfo
    workflowMainTableInfo: ShownMain
    workflowDetailTableInfos: list[ShownDetail] = []


async def form_of(client: WeaverClient, workflow: str) -> Form | None:
    """The form of a workflow; None where the account sees no document of it.

    Raises:
        RetryLater: the OA is away. GiveUp: its answers have another shape.
    """
    found = _Found()
    for row in await _newest(client, workflow):
        document = await client.document(row.requestId)
        if document is None:
            continue
        found.take(row.requestId, shown(document.raw, row.requestId))
        if found.whole or len(found.documents) >= _LOOKED_AT:
            break
    return found.form(workflow)


class _Found:
    """What the documents showed so far: the newest value of each column that is not blank."""

    def __init__(self) -> None:
        self.documents: list[str] = []
        self._label = ""
        self._main = ""
        self._columns: dict[str, dict[str, FormColumn]] = {"": {}}
        self._titles: dict[str, str] = {}
        self._with_rows: set[str] = set()

    @property
    def whole(self) -> bool:
        """Whether every detail table showed a row."""
        return bool(self.documents) and self._with_rows >= set(self._titles)

    def take(self, request_id: str, request: ShownRequest) -> None:
        """Add a document."""
        self.documents.append(request_id)
        self._label = self._label or request.workflowBaseInfo.workflowName
        self._main = self._main or request.workflowMainTableInfo.tableDBName
        self._add("", request.workflowMainTableInfo.requestRecords)
        for detail in request.workflowDetailTableInfos:
            table = detail.tableDBName
            self._titles.setdefault(table, detail.tableTitle.strip() or table)
            known = self._columns.setdefault(table, {})
            for name in detail.tableFieldName:
                known.setdefault(name, FormColumn(name=name))
            self._add(table, detail.workflowRequestTableRecords)
            if detail.workflowRequestTableRecords:
                self._with_rows.add(table)

    def _add(self, table: str, records: list[ShownRecord]) -> None:
        known = self._columns[table]
        for record in records:
            for field in record.workflowRequestTableFields:
                before = known.get(field.fieldName)
                if before is None or not before.label or (not before.sample and field.fieldValue):
                    known[field.fieldName] = field.column

    def form(self, workflow: str) -> Form | None:
        """All of it."""
        if not self.documents:
            return None
        return Form(
            workflow=workflow,
            label=self._label,
            main=FormTable(name=self._main, title="", columns=tuple(self._columns[""].values())),
            details=tuple(
                FormTable(name=table, title=title, columns=tuple(self._columns[table].values()))
                for table, title in self._titles.items()
            ),
            documents=tuple(self.documents),
        )


async def _newest(client: WeaverClient, workflow: str) -> list[ListRow]:
    """Rows of the first and of the last page, the newest first: the order of the list is the OA's own."""
    conditions = Conditions(workflow_ids=frozenset({workflow}))
    rows = await client.rows(conditions, 1, _PAGE)
    pages = -(-await client.count(conditions) // _PAGE)
    if pages > 1:
        rows = [*rows, *await client.rows(conditions, pages, _PAGE)]
    ours = {row.requestId: row for row in rows if row.workflowBaseInfo.workflowId == workflow}
    return sorted(ours.values(), key=lambda row: row.lastOperateTime, reverse=True)


def shown(raw: bytes, request_id: str) -> ShownRequest:
    """The wire bytes of getWorkflowRequest as a form.

    Raises:
        GiveUp: they have another shape than the vendor documents.
    """
    try:
        return ShownRequest.model_validate(orjson.loads(raw)["data"])
    except ValidationError as error:
        why = shape_error(error)
    except (ValueError, TypeError, KeyError):
        why = "no data"
    raise GiveUp("wire_shape", f"OA 应答格式不符 / the form of request {request_id} has another shape: {why}")


def _true(value: object) -> bool:
    return value is True or str(value).lower() in {"1", "true"}
