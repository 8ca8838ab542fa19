"""Which documents are not where they should be: asked of the list, so that a month of documents is not read whole.

A row of the list shows the node's id; what it is called is learned once from one document at it, and kept while the
question is asked again. Documents are read only where the list cannot answer: whose month they are, and where an OA's
list shows no node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from finbridge.core.documents import DocumentRef, EventKind, SourceDocument
from finbridge.core.errors import GiveUp, NeedsHuman
from finbridge.core.flow import Flow
from finbridge.core.month import first_day
from finbridge.core.ports import Source

#: Documents read at a time.
CHUNK = 200
#: Documents tried for the name of a node: one that is read may have left it meanwhile.
_SAMPLES = 3
_Node = tuple[str, str]  # template, node id
Concerns = Callable[[SourceDocument], bool]


class Board(Source, Protocol):
    """An OA that can list without archived requests."""

    def unfinished(self, since: date, until: datetime, templates: frozenset[str]) -> AsyncIterator[list[DocumentRef]]:
        """As `Source.changed`."""
        ...


@dataclass(slots=True)
class Memory:
    """What was learned while asking: names of nodes, and answers about documents that have not moved since."""

    names: dict[_Node, str] = field(default_factory=dict)
    answers: dict[tuple[str, str, str], bool] = field(default_factory=dict)  # by question, document and stamp


async def still_waiting(
    source: Board,
    *,
    document_id: str | None,
    since: date | None,
    until: date | None,
    templates: frozenset[str],
    nodes: Sequence[str],
    memory: Memory,
) -> list[str]:
    """Ids of the documents that are not where they should be.

    With ``document_id``: that document until it stands at one of ``nodes``. Without: every document operated between
    ``since`` and ``until`` (days) that still stands at one of ``nodes``.
    """
    if document_id is not None:
        found = (await source.read([document_id]))[document_id]
        return [] if found is not None and found.node in nodes else [document_id]
    end = datetime.combine(until, datetime.max.time()) if until else await source.now()
    return await _standing_at(
        source, since=since or date.min, until=end, templates=templates, nodes=nodes, memory=memory
    )


async def in_approval(source: Board, flow: Flow, company: str, period: str, memory: Memory) -> list[str]:
    """Documents of a company that were sent in during a period and still stand at one of the flow's approval nodes.

    Raises:
        GiveUp: the flow says nothing about months.
    """
    if flow.month is None:
        raise GiveUp("no_month", f"流程未配置月结 / the flow {flow.flow_id} has no month section")

    def concerns(document: SourceDocument) -> bool:
        return _company_of(flow, document) == company and _sent_in(flow, document) == period

    return await _standing_at(
        source,
        about=f"{company} {period}",
        since=first_day(period),
        until=await source.now(),
        templates=flow.templates,
        nodes=flow.month.approval_nodes,
        memory=memory,
        concerns=concerns,
    )


async def _standing_at(
    source: Board,
    *,
    since: date,
    until: datetime,
    templates: frozenset[str],
    nodes: Sequence[str],
    memory: Memory,
    concerns: Concerns | None = None,
    about: str = "",
) -> list[str]:
    refs: dict[str, DocumentRef] = {}
    async for page in source.unfinished(since, until, templates):
        for ref in page:
            known = refs.get(ref.document_id)
            if known is None or known.stamp < ref.stamp:
                refs[ref.document_id] = ref
    by_node: dict[_Node, list[DocumentRef]] = defaultdict(list)
    for ref in refs.values():
        by_node[_node_of(ref.template, ref.stamp)].append(ref)
    waiting: list[str] = []
    unsure: list[DocumentRef] = []
    for node, mine in by_node.items():
        name = await _name_of(source, node, mine, memory)
        if name is None or (name in nodes and concerns is not None):
            unsure += mine
        elif name in nodes:
            waiting += [ref.document_id for ref in mine]
    asked_of = {(about, ref.document_id, ref.stamp): ref for ref in unsure}
    fresh = [ref for asked, ref in asked_of.items() if asked not in memory.answers or not _node_of("", ref.stamp)[1]]
    for chunk in _chunks(fresh):
        answers = await _read(source, chunk, nodes, concerns)
        memory.answers |= {(about, ref.document_id, ref.stamp): answers[ref.document_id] for ref in chunk}
    waiting += [ref.document_id for asked, ref in asked_of.items() if memory.answers[asked]]
    return sorted(waiting)


def _node_of(template: str, stamp: str) -> _Node:
    """Template and node id, as a list's stamp shows them."""
    return template, stamp.rpartition("|")[2]


async def _name_of(source: Source, node: _Node, refs: Sequence[DocumentRef], memory: Memory) -> str | None:
    """The node's name, learned from a document that stands there; None where the list shows no node."""
    if not node[1]:
        return None
    if node not in memory.names:
        for ref in refs[:_SAMPLES]:
            document = (await _documents(source, [ref])).get(ref.document_id)
            if document is not None:
                memory.names[_node_of(document.template, document.stamp)] = document.node
            if node in memory.names:
                break
    return memory.names.get(node)


async def _read(
    source: Source, refs: Sequence[DocumentRef], nodes: Sequence[str], concerns: Concerns | None
) -> dict[str, bool]:
    """Whether each stands where it should not, and concerns whoever asks."""
    found = await _documents(source, refs)
    return {
        name: document is not None and document.node in nodes and (concerns is None or concerns(document))
        for name, document in ((ref.document_id, found.get(ref.document_id)) for ref in refs)
    }


async def _documents(source: Source, refs: Sequence[DocumentRef]) -> dict[str, SourceDocument | None]:
    """Documents whole. One that cannot be read keeps nobody waiting: it is collected with its reason."""
    from finbridge.flows.collecting import read_documents

    found, _ = await read_documents(source, [ref.document_id for ref in refs])
    return found


def _chunks(refs: Sequence[DocumentRef]) -> Iterable[Sequence[DocumentRef]]:
    return (refs[start : start + CHUNK] for start in range(0, len(refs), CHUNK))


def _company_of(flow: Flow, document: SourceDocument) -> str:
    return flow.company_constant or document.main.get(flow.company_field, "")


def _sent_in(flow: Flow, document: SourceDocument) -> str:
    """The period of the day on which the document was sent in last; "" if nobody has."""
    days = []
    for row in document.log:
        try:
            sent = flow.classify(row).kind is EventKind.SUBMITTED
        except NeedsHuman:
            continue
        if sent:
            days.append(row.local_at)
    return f"{max(days):%Y-%m}" if days else ""
