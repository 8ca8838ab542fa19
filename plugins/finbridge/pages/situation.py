"""Where a document stands, in one glance: its standing, whose turn it is, since when. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_OPEN_WRITE_BACK = frozenset({"due", "sent"})
#: Who acts next on a document that is not approved, by its end state; anything else waits for its submitter.
_APPROVERS = frozenset({"IN_APPROVAL", "NONE"})


@dataclass(frozen=True, slots=True)
class Situation:
    """``turns``: codes of those who act next, never empty. ``since``: UTC, None where nothing says it."""

    standing: str
    turns: tuple[str, ...]
    since: datetime | None


def situation(
    document: Mapping[str, Any], vouchers: Sequence[Mapping[str, Any]], holds: Sequence[Mapping[str, Any]]
) -> Situation:
    """The situation of a document from its rows (`finbridge.hub.view_find.document`)."""
    standing = str(document["standing"])
    named = [hold for hold in holds if hold["closed_at"] is None]
    if standing == "held":
        turns = tuple(dict.fromkeys(str(hold["turn"]) for hold in reversed(named)))
        return Situation(standing, turns, min(hold["opened_at"] for hold in named))
    if standing == "not_approved":
        turn = "approver" if document["end_state"] in _APPROVERS else "submitter"
        return Situation(standing, (turn,), document["changed_at"])
    if standing == "due":
        return Situation(standing, ("system",), document["changed_at"])
    if standing == "unexplained":
        return Situation(standing, ("it",), document["due_at"] or document["changed_at"])
    return Situation(standing, (_after_posting(vouchers, named),), _last_moved(document, vouchers))


def _after_posting(vouchers: Sequence[Mapping[str, Any]], named: Sequence[Mapping[str, Any]]) -> str:
    """The books are right: what is left is the form, or something that a list asks for."""
    asked = [str(hold["turn"]) for hold in named if hold["turn"] != "nobody"]
    if asked:
        return asked[0]
    return "system" if any(v["write_back"] in _OPEN_WRITE_BACK for v in vouchers) else "nobody"


def _last_moved(document: Mapping[str, Any], vouchers: Sequence[Mapping[str, Any]]) -> datetime | None:
    moved: list[datetime] = [voucher["state_since"] for voucher in vouchers]
    otherwise: datetime | None = document["planned_at"] or document["changed_at"]
    return max(moved, default=otherwise)
