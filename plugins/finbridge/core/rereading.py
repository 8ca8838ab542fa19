"""Documents that could not be read: which they are, and what a collect asks the hub about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from finbridge.core.documents import DocumentRef
from finbridge.core.ports import Hub

#: Problems of reading, not of what a document says: another look may find it as it should be.
UNREAD = frozenset({"document_gone", "oa_cannot_read", "wire_shape"})


class Rereading(Protocol):
    """What a hub knows of documents that stand because they could not be read."""

    def take_unread(self, flow_id: str, limit: int) -> Sequence[DocumentRef]:
        """Those whose next look is due, the longest waiting first, under the stamp that is known.

        Taking one puts its next look off, ever further; a person who asks for another look makes it due at once.
        """
        ...


class CollectHub(Hub, Rereading, Protocol):
    """The hub as a collect sees it."""
