"""How numbers, times and states look: amounts by their currency's decimals, times in the company's zone."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from finbridge.core.money import to_text

DASH = "–"
#: What a colour says: good (done), wait (the system goes on by itself), bad (a person must do something), off (ended).
_TONES = {
    **dict.fromkeys(
        ("posted", "written_back", "verified", "saved", "accepted", "duplicate", "paid", "APPROVED"), "good"
    ),
    **dict.fromkeys(
        ("ready", "sending", "unknown", "waiting_period", "reversing", "due", "sent", "translated"), "wait"
    ),
    **dict.fromkeys(("not_sent", "locked", "throttled", "refused_unprocessed", "retry", "period_closed"), "wait"),
    **dict.fromkeys(("quarantined", "rejected", "needs_human", "held", "unexplained", "conflict", "auth"), "bad"),
    **dict.fromkeys(("refused", "not_allowed", "not_found", "missing", "extra", "altered", "failed", "unclear"), "bad"),
    "reversed_in_finance": "bad",
    "unsent": "bad",
    "amount_unread": "bad",
    "in_doubt": "bad",
    **dict.fromkeys(("would_post", "PAID", "live"), "good"),
    **dict.fromkeys(("would_reverse", "PAYMENT_REQUESTED", "IN_APPROVAL", "open"), "wait"),
}


def tone(code: object) -> str:
    """The colour class of a state, an outcome or a verdict: good, wait, bad or off."""
    return _TONES.get(str(code), "off")


def money(amount_minor: int | None, currency: str | None) -> str:
    """``(1234567, "CNY") -> "12,345.67"``; a dash where there is no amount."""
    if amount_minor is None:
        return DASH
    whole, dot, part = to_text(amount_minor, currency or "CNY").partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{dot}{part}"


def number(count: int | None) -> str:
    """``12345 -> "12,345"``; a dash where there is none."""
    return DASH if count is None else f"{count:,}"


def moment(at: datetime | date | None, zone: str = "UTC") -> str:
    """``2026-10-31 17:30:05`` in the zone; local times of the OA (naive) and days as they are; a dash for none."""
    if at is None:
        return DASH
    if not isinstance(at, datetime):
        return at.isoformat()
    local = at.astimezone(ZoneInfo(zone)) if at.tzinfo else at
    return f"{local:%Y-%m-%d %H:%M:%S}"


def days_since(at: datetime, now: datetime | None = None) -> int:
    """Whole days from ``at`` (with a zone) until now."""
    return max(0, ((now or datetime.now(UTC)) - at).days)
