"""Documents as an OA system shows them, before any meaning is given to their fields."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """What an entry of the approval log means for posting; the flow's rules classify, never code."""

    SAVED = "saved"
    SUBMITTED = "submitted"
    STEP = "step"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    PAYMENT_REQUESTED = "payment_requested"
    PAID = "paid"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class LogRow:
    """One row of the OA's approval log as read: ``local_at`` is naive, in the OA's zone."""

    log_id: str
    node: str
    operation: str
    operator: str
    local_at: datetime


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A log row with its meaning."""

    log_id: str
    kind: EventKind
    local_at: datetime
    node: str = ""
    operation: str = ""
    operator: str = ""


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """A row of the OA's list: enough to know whether the document moved since we last read it."""

    document_id: str
    template: str
    stamp: str


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """One document read whole. Field values are text exactly as on the wire; detail rows carry their id as ``_row``."""

    document_id: str
    template: str
    stamp: str
    node: str
    main: Mapping[str, str]
    details: Mapping[str, tuple[Mapping[str, str], ...]]
    log: tuple[LogRow, ...]
    raw: bytes = field(repr=False)


def canonical_content(
    document: SourceDocument, main_fields: Iterable[str], detail_fields: Mapping[str, Iterable[str]]
) -> bytes:
    """The mapped fields as canonical JSON bytes: what makes a version. Our own write-back is not in it."""
    content = {
        "template": document.template,
        "main": {name: document.main.get(name) for name in sorted(main_fields)},
        "details": {
            table: [
                {"_row": row.get("_row"), **{name: row.get(name) for name in sorted(names)}}
                for row in document.details.get(table, ())
            ]
            for table, names in sorted(detail_fields.items())
        },
    }
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.replace("\\u0000", "\\ufffd").encode()  # a database's text holds every character but NUL


def content_hash(canonical: bytes) -> str:
    """SHA-256 of the canonical bytes, hexadecimal."""
    return hashlib.sha256(canonical).hexdigest()
