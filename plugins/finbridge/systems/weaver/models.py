"""Wire shapes of Weaver e-cology E9, named as the vendor names them (misspellings included).

Source: the vendor's paService reference and recorded answers, as collected in the project's notes on section 1.2 of the
OA contracts. Only what is used is declared; everything else on the wire is ignored (and kept in the raw bytes).
Texts stay texts; a build that writes a number where the reference shows text is taken by its printed form.
"""

# The vendor's own spelling.
# ruff: noqa: N815

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from finbridge.core.documents import DocumentRef, LogRow, SourceDocument

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"  # naive, in the zone of the OA's server
ARCHIVE_NODE_TYPE = "3"


def _text(value: object) -> object:
    return "" if value is None else value


#: JSON null and an empty text are one thing to e-cology (Oracle makes no difference), so they make no new version.
Text = Annotated[str, BeforeValidator(_text)]


class Wire(BaseModel):
    """Base of all wire shapes."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)


class WorkflowBaseInfo(Wire):
    """Which version of which workflow: each version has a ``workflowId`` of its own."""

    workflowId: str
    workflowName: Text = ""


class ListRow(Wire):
    """A row of a list call."""

    requestId: str
    currentNodeId: Text = ""
    currentNodeName: Text = ""
    lastOperateTime: Text = ""
    requestmark: Text = ""  # the serial number
    workflowBaseInfo: WorkflowBaseInfo

    @property
    def ref(self) -> DocumentRef:
        """What the flows need to see whether the document moved."""
        return DocumentRef(
            self.requestId, self.workflowBaseInfo.workflowId, stamp_of(self.lastOperateTime, self.currentNodeId)
        )


class TableField(Wire):
    """One column's value: the raw id or number, never the text that is shown for it."""

    fieldName: str
    fieldValue: Text = ""


class TableRecord(Wire):
    """A row of a table; ``recordOrder`` is the row's id when reading."""

    recordOrder: Text = ""
    workflowRequestTableFields: list[TableField] = []

    @property
    def columns(self) -> dict[str, str]:
        """Column name to value."""
        return {item.fieldName: item.fieldValue for item in self.workflowRequestTableFields}


class WorkflowMainTableInfo(Wire):
    """The main table: one record."""

    tableDBName: Text = ""
    requestRecords: list[TableRecord]


class WorkflowDetailTableInfo(Wire):
    """One detail table."""

    tableDBName: str
    workflowRequestTableRecords: list[TableRecord] = []


class WorkflowRequestLog(Wire):
    """A row of the approval log. Names of persons are not taken."""

    id: str
    nodeName: Text = ""
    operateDate: str
    operateTime: str
    operateType: Text = ""
    operatorId: Text = ""

    @property
    def row(self) -> LogRow:
        """As the core knows it.

        Raises:
            ValueError: date or time is not one.
        """
        local_at = datetime.fromisoformat(f"{self.operateDate}T{self.operateTime}")
        return LogRow(self.id, self.nodeName, self.operateType, self.operatorId, local_at.replace(tzinfo=None))


class WorkflowRequestData(Wire):
    """``data`` of getWorkflowRequest."""

    requestId: Text = ""
    currentNodeId: Text = ""
    currentNodeName: Text = ""
    lastOperateTime: Text = ""
    workflowBaseInfo: WorkflowBaseInfo
    workflowMainTableInfo: WorkflowMainTableInfo
    workflowDetailTableInfos: list[WorkflowDetailTableInfo] = []
    workflowRequestLogs: list[WorkflowRequestLog] = []

    def document(self, document_id: str, raw: bytes) -> SourceDocument:
        """The document as the core knows it; log rows once each, in the order in which the OA gave them.

        Raises:
            ValueError: a log row has no readable time, or the main table has no record.
        """
        if not self.workflowMainTableInfo.requestRecords:
            raise ValueError("the main table has no record")
        rows: dict[str, LogRow] = {}
        for log in self.workflowRequestLogs:
            rows.setdefault(log.id, log.row)
        return SourceDocument(
            document_id=document_id,
            template=self.workflowBaseInfo.workflowId,
            stamp=stamp_of(self.lastOperateTime, self.currentNodeId),
            node=self.currentNodeName,
            main=self.workflowMainTableInfo.requestRecords[0].columns,
            details={
                table.tableDBName: tuple(
                    {"_row": record.recordOrder, **record.columns} for record in table.workflowRequestTableRecords
                )
                for table in self.workflowDetailTableInfos
            },
            log=tuple(rows.values()),
            raw=raw,
        )


class RequestStatusData(Wire):
    """``data`` of getRequestStatus, seen by the calling account: ``isremark`` is its own part in the request."""

    requestId: Text = ""
    workflowId: Text = ""
    currentNodeId: Text = ""
    currentNodeName: Text = ""  # not in the reference; some builds send it
    currentNodeType: Text = ""
    isremark: Text = ""
    takisremark: Text = ""

    @property
    def archived(self) -> bool:
        """Whether the request stands at an archive node."""
        return self.currentNodeType == ARCHIVE_NODE_TYPE

    @property
    def my_turn(self) -> bool:
        """Whether the calling account may submit (isremark 0, 1, 8, 9, 11)."""
        return not self.archived and self.isremark in {"0", "1", "8", "9", "11"}


class RegistReply(Wire):
    """Answer of regist. ``secrit`` is the vendor's spelling; ``secret`` is there too on most builds."""

    code: Any = None
    status: Any = None
    msg: Text = ""
    secrit: Text = ""
    secret: Text = ""
    spk: Text = ""


class ApplyTokenReply(Wire):
    """Answer of applytoken."""

    code: Any = None
    status: Any = None
    msg: Text = ""
    token: Text = ""


LIST_ROWS = TypeAdapter(list[ListRow])


def shape_error(error: ValidationError) -> str:
    """Where an answer differs from its shape: paths and kinds, never values (they may be personal)."""
    shown = [f"{'.'.join(map(str, item['loc']))}: {item['type']}" for item in error.errors(include_input=False)]
    return "; ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def stamp_of(last_operate_time: str, current_node_id: str) -> str:
    """What changes whenever a document moved: time of the last operation (to the second) and node."""
    return f"{last_operate_time}|{current_node_id}"


def operated_at(stamp: str) -> datetime | None:
    """The operation's time inside a stamp, naive OA-local; None where the OA gave none."""
    text = stamp.partition("|")[0]
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None) if text else None
    except ValueError:
        return None
