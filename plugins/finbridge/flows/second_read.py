"""The second read: between the claim and the send, does the document still call for this voucher?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finbridge.core.documents import DocumentRef
from finbridge.core.flow import Flow
from finbridge.core.fold import Folded, fold
from finbridge.core.ids import VoucherKind
from finbridge.core.ports import CollectedDocument, Deliverable, DocumentWork, Source, Translator
from finbridge.flows.collecting import read_documents
from finbridge.flows.inbox import collected, gone, unusable


async def read_again(
    flow: Flow,
    source: Source,
    translator: Translator,
    works: Mapping[str, DocumentWork],
    items: Sequence[Deliverable],
) -> tuple[list[Deliverable], list[CollectedDocument]]:
    """Split what is ready into what may be sent, and the documents that changed since their vouchers were built.

    A reversal needs no second read: what it takes back is in the books, and only the log can have asked for it.
    """
    wanted = [item for item in items if item.voucher.identity.kind is not VoucherKind.REVERSAL]
    now = await fresh(flow, source, translator, sorted({item.lease.document_id for item in wanted}))
    changed: dict[str, CollectedDocument] = {}
    send: list[Deliverable] = []
    for item in items:
        document = now.get(item.lease.document_id)
        if document is None or _still_wanted(works[item.lease.document_id], document, item):
            send.append(item)
        else:
            changed[item.lease.document_id] = document
    return [item for item in send if item.lease.document_id not in changed], list(changed.values())


async def fresh(
    flow: Flow, source: Source, translator: Translator, document_ids: Sequence[str]
) -> dict[str, CollectedDocument]:
    """Documents as the OA shows them now. Not settled: the next collect reads them once more by its own stamp."""
    if not document_ids:
        return {}
    found, unreadable = await read_documents(source, document_ids)
    documents: dict[str, CollectedDocument] = {}
    for name in document_ids:
        document = found.get(name)
        if document is not None:
            documents[name] = collected(flow, translator, document, stamp=document.stamp, settled=False)
            continue
        ref = DocumentRef(document_id=name, template="", stamp="")
        documents[name] = unusable(ref, unreadable[name]) if name in unreadable else gone(ref)
    return documents


def _still_wanted(work: DocumentWork, document: CollectedDocument, item: Deliverable) -> bool:
    """Same content, no problem, and the log (what we knew and what it says now) still holds the voucher's cause."""
    if document.problem is not None or document.content != item.content:
        return False
    folded = fold([*work.events, *document.events])
    return item.voucher.identity.cause in _causes(folded, item.voucher.identity.kind)


def _causes(folded: Folded, kind: VoucherKind) -> frozenset[str]:
    return folded.approvals if kind is VoucherKind.EXPENSE else folded.payments
