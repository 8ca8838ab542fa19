"""Looks at every connection of every flow: do they let us in, do they answer, how old is the token, do clocks agree.

Without Airflow in its decisions: what was found is data, and what it means is a pure function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

from finbridge.core.errors import FinbridgeError, GiveUp
from finbridge.core.notify import Sighting

if TYPE_CHECKING:
    from finbridge.core.checkup import Checkup, TokenFacts
    from finbridge.core.connections import ConnectionSettings
    from finbridge.core.flow import Flow
    from finbridge.core.ports import TokenStore

#: How long a look may take.
LOOK_SECONDS = 20.0
DEFAULT_SKEW_SECONDS = 30.0
CREDENTIALS, CONNECTION, CLOCK = "credentials", "connection_failed", "clock_skew"
#: What a login that works disproves, whoever opened it.
LOGIN_CAUSES = (
    *(CREDENTIALS, "ledger_credentials", "login_refused", "auth_refused", "bad_registration", "bad_token"),
    "registration_dead",
)
_HEADINGS = tuple(
    [
        "系统 system",
        "连接 connection",
        "状态 state",
        "令牌已用 token age",
        "令牌剩余 token left",
        "时钟差 clock",
        "说明 what",
    ]
)
Look = Callable[["ConnectionSettings", "TokenStore"], Awaitable["Checkup"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A connection and the flows that need it."""

    system: str
    conn_id: str
    flow_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one look found. ``cause`` empty: nothing is wrong. ``skew_seconds``: its clock minus ours."""

    place: Place
    cause: str = ""
    code: str = ""
    words: str = ""
    skew_seconds: float | None = None
    token: TokenFacts | None = None


def places(flows: Iterable[Flow]) -> list[Place]:
    """Each connection once, in order."""
    users: dict[tuple[str, str], list[str]] = {}
    for flow in flows:
        users.setdefault((flow.source_system, flow.source_connection), []).append(flow.flow_id)
        users.setdefault((flow.target_system, flow.target_connection), []).append(flow.flow_id)
    return [Place(system=s, conn_id=c, flow_ids=tuple(sorted(set(ids)))) for (s, c), ids in sorted(users.items())]


def look_of(system: str) -> Look:
    """The slice's own look."""

    async def look(settings: ConnectionSettings, tokens: TokenStore) -> Checkup:
        found: Checkup = await import_module(f"finbridge.systems.{system}.checkup").checkup(settings, tokens=tokens)
        return found

    return look


async def look_at(
    place: Place,
    settings: Callable[[], ConnectionSettings],
    tokens: TokenStore,
    look: Look,
    *,
    facts: Callable[[str], TokenFacts | None],
    max_skew_seconds: float = DEFAULT_SKEW_SECONDS,
) -> Found:
    """One connection. Never raises: a look that fails is a finding."""
    try:
        began = datetime.now(UTC)
        async with asyncio.timeout(LOOK_SECONDS):
            seen = await look(settings(), tokens)
        ended = datetime.now(UTC)
        token = await asyncio.to_thread(facts, seen.token)
    except GiveUp as error:
        return Found(place=place, cause=CREDENTIALS, code=error.code, words=error.staff)
    except FinbridgeError as error:
        return Found(place=place, cause=CONNECTION, code=error.code, words=error.staff)
    except TimeoutError:
        words = f"{LOOK_SECONDS:.0f} 秒内没有应答 / no answer within {LOOK_SECONDS:.0f} s"
        return Found(place=place, cause=CONNECTION, code="timed_out", words=words)
    except Exception as error:  # a connector's own fault is a finding too; its text may carry values
        return Found(place=place, cause=CONNECTION, code="unexpected_error", words=type(error).__name__)
    skew = None if seen.server_at is None else skew_of(seen.server_at, began, ended)
    wrong = skew is not None and abs(skew) > max_skew_seconds
    words = f"时钟相差 {skew:.0f} 秒 / its clock differs by {skew:.0f} s" if wrong else seen.read
    cause = CLOCK if wrong else ""
    return Found(place=place, cause=cause, code=cause, words=words, skew_seconds=skew, token=token)


def skew_of(shown: datetime, began: datetime, ended: datetime) -> float:
    """Their clock minus ours in seconds; 0 where the difference may come from the call's length or the whole seconds
    of an HTTP date.
    """
    early, late = (began - shown).total_seconds(), (ended - shown).total_seconds()
    if early > 1.0:  # the date was cut to whole seconds: it may be up to a second later than it says
        return -(early - 1.0)
    return -late if late < 0 else 0.0


def judged(found: Iterable[Found]) -> tuple[list[Sighting], list[tuple[str, str]]]:
    """What to open, and what (flow, cause) to close: a cause is closed where no connection of the flow shows it."""
    broken: dict[tuple[str, str], list[str]] = {}
    flow_ids: set[str] = set()
    for item in found:
        flow_ids |= set(item.place.flow_ids)
        for flow_id in item.place.flow_ids if item.cause else ():
            broken.setdefault((flow_id, item.cause), []).append(f"{item.place.conn_id}: {item.code}")
    opened = [
        Sighting(flow_id=flow_id, cause=cause, detail="; ".join(sorted(details)))
        for (flow_id, cause), details in sorted(broken.items())
    ]
    return opened, sorted(_mended(flow_ids, set(broken)))


def _mended(flow_ids: set[str], broken: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for flow_id in flow_ids:
        if (flow_id, CONNECTION) not in broken:
            yield flow_id, CONNECTION
            if (flow_id, CREDENTIALS) not in broken:  # a system that is away has not let us in
                yield from ((flow_id, cause) for cause in LOGIN_CAUSES)
            if (flow_id, CLOCK) not in broken:
                yield flow_id, CLOCK


def table(found: Sequence[Found], hub_skew_seconds: float) -> str:
    """For the log: a line a connection."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    rows += [
        (
            item.place.system,
            item.place.conn_id,
            item.code or "正常 ok",
            _duration(item.token.age_seconds if item.token else None),
            _duration(item.token.left_seconds if item.token else None),
            _signed(item.skew_seconds),
            item.words,
        )
        for item in found
    ]
    rows.append(("hub", "hub_default", "正常 ok", "-", "-", _signed(hub_skew_seconds), "台账 / the hub"))
    widths = [max(_width(row[n]) for row in rows) for n in range(len(rows[0]) - 1)]
    return "\n".join("  ".join([*(_padded(row[n], w) for n, w in enumerate(widths)), row[-1]]) for row in rows)


def note(found: Sequence[Found], hub_skew_seconds: float) -> str:
    """For the run: a line a connection, the wrong ones first."""
    lines = [
        f"{item.place.conn_id}: {item.code or '正常 ok'} · {item.words} · 令牌已用 token {_duration(_age(item))}"
        f" · 时钟差 clock {_signed(item.skew_seconds)}"
        for item in sorted(found, key=lambda item: (not item.cause, item.place.conn_id))
    ]
    return "\n".join([*lines, f"台账 hub: 时钟差 clock {_signed(hub_skew_seconds)}"])


def _width(text: str) -> int:
    """Columns on a screen: an ideograph takes two."""
    return sum(2 if ord(char) > 0x2E7F else 1 for char in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _age(item: Found) -> float | None:
    return item.token.age_seconds if item.token else None


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _signed(seconds: float | None) -> str:
    return "?" if seconds is None else f"{round(seconds):+d} s"  # of an integer: no minus zero


@dataclass(kw_only=True)
class Looks:
    """All looks of one run, beside each other.

    Args:
        settings: connection id -> how to get its settings (Airflow is asked inside the look: a connection that is not
            there is a finding).
        look: system -> its look.
    """

    settings: Callable[[str], ConnectionSettings]
    tokens: TokenStore
    facts: Callable[[str], TokenFacts | None]
    look: Callable[[str], Look] = field(default=look_of)
    max_skew_seconds: float = DEFAULT_SKEW_SECONDS

    async def at(self, where: Sequence[Place]) -> list[Found]:
        """In the order of ``where``."""
        got: Mapping[str, Callable[[], ConnectionSettings]] = {p.conn_id: self._prepared(p.conn_id) for p in where}
        return await asyncio.gather(
            *(
                look_at(
                    place,
                    got[place.conn_id],
                    self.tokens,
                    self.look(place.system),
                    facts=self.facts,
                    max_skew_seconds=self.max_skew_seconds,
                )
                for place in where
            )
        )

    def _prepared(self, conn_id: str) -> Callable[[], ConnectionSettings]:
        """Airflow is asked before the event loop runs anything; what it raises is raised inside the look."""
        try:
            settings = self.settings(conn_id)
        except Exception as error:
            failure = GiveUp(
                "connection_missing",
                f"Airflow 中没有可用的连接 / no usable connection {conn_id}: {type(error).__name__}",
            )

            def refuse() -> ConnectionSettings:
                raise failure

            return refuse
        return lambda: settings
