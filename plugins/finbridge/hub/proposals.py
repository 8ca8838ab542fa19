"""Proposals for code tables: one person makes, another checks; what is approved is exactly what was stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Cursor, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from finbridge.core.codes import (
    CodeChange,
    CodeRecord,
    MissingCode,
    PostedUnderOldCode,
    Proposal,
    ProposalState,
    changes_hash,
    changes_json,
    changes_of,
    difference,
)
from finbridge.core.errors import GiveUp
from finbridge.core.people import person
from finbridge.core.ports import CodeRow
from finbridge.hub import codes
from finbridge.hub.bulk import Columns, insert_rows
from finbridge.hub.code_corrections import posted_under_old_code
from finbridge.hub.connections import Connections

_PROPOSALS = sql.SQL("""
SELECT proposal_id, flow_id, maker, made_at, note, rows, sha256, state, checker, decided_at, decision_note
FROM hub.code_proposal
""")
_LISTED = _PROPOSALS + sql.SQL("""
WHERE (%(flow)s::text IS NULL OR flow_id = %(flow)s) AND (NOT %(only_open)s OR state = 'open')
ORDER BY proposal_id DESC LIMIT %(limit)s
""")
_LOCKED = _PROPOSALS + sql.SQL("WHERE proposal_id = %s FOR UPDATE")
_TRAIL = Columns("actor text, flow_id text, document_id text, action text, reason text, after_hash text")


class ChangedMeanwhileError(GiveUp):
    """The tables are not what the proposal was made from: ``changes`` is the difference as it would be now."""

    def __init__(self, proposal: Proposal, changes: Sequence[CodeChange]) -> None:
        super().__init__(
            "codes_changed_meanwhile",
            f"提案 {proposal.proposal_id} 提出之后对照表已变化，未生效。请核对新的差异，驳回后重新提出 / "
            f"the tables changed after proposal {proposal.proposal_id} was made, nothing was loaded: look at the "
            "difference as it is now, reject it and propose again",
        )
        self.changes = tuple(changes)


class CodeProposals:
    """Each method is one transaction and raises RetryLater where the database is away."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # ------------------------------------------------------------ reading

    def records(self, flow_id: str) -> list[CodeRecord]:
        """All rows of a flow's code tables with maker, checker and time."""
        return codes.records(self._connections, flow_id)

    def missing(self, flow_id: str) -> list[MissingCode]:
        """Codes that hold documents; see `finbridge.hub.codes.missing`."""
        return codes.missing(self._connections, flow_id)

    def proposals(self, flow_id: str | None = None, *, only_open: bool = False, limit: int = 100) -> list[Proposal]:
        """Proposals, the newest first."""
        with self._connections.session() as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(_LISTED, {"flow": flow_id, "only_open": only_open, "limit": limit}).fetchall()
        return [_proposal(row) for row in rows]

    def proposal(self, proposal_id: int) -> Proposal:
        """One proposal.

        Raises:
            GiveUp: there is none of that number.
        """
        with self._connections.transaction() as cursor:
            return _locked(cursor, proposal_id)

    def posted(self, proposal_id: int) -> list[PostedUnderOldCode]:
        """What stands in finance under the old code; see `finbridge.hub.code_corrections`."""
        return posted_under_old_code(self._connections, proposal_id)

    # ------------------------------------------------------------ deciding

    def propose(self, flow_id: str, changes: Sequence[CodeChange], *, maker: str, note: str = "") -> Proposal:
        """Store an open proposal; nothing of it is valid yet.

        Raises:
            GiveUp: nobody makes it, or it changes nothing.
        """
        if not maker.strip():
            raise GiveUp("maker_missing", "请写明制表人 / say who proposes this")
        if not changes:
            raise GiveUp("nothing_to_propose", "没有任何变化，无需提案 / nothing changes: there is nothing to propose")
        digest = changes_hash(changes)
        maker = person(maker)
        with self._connections.transaction() as cursor:
            found = cursor.execute(
                "INSERT INTO hub.code_proposal (flow_id, maker, note, rows, sha256) VALUES (%s, %s, %s, %s, %s) "
                "RETURNING proposal_id",
                [flow_id, maker, note, Jsonb(changes_json(changes)), digest],
            ).fetchone()
            number = int(found[0]) if found else 0
            _note(cursor, flow_id, maker, "codes_proposed", number=number, digest=digest)
            return _locked(cursor, number)

    def approve(self, proposal_id: int, *, checker: str, note: str = "") -> int:
        """Load the stored rows; what they held is looked at again. Returns the number of rows loaded.

        Raises:
            ChangedMeanwhileError: the tables changed after the proposal was made; nothing was loaded.
            GiveUp: the checker is the maker, the proposal is decided, its rows are not those proposed, or two rows of
                one code would be valid on the same day.
        """
        with self._connections.transaction() as cursor:
            proposal = _open(cursor, proposal_id, checker)
            codes.lock_tables(cursor, proposal.flow_id)
            now = difference(_standing(cursor, proposal), [change.row for change in proposal.changes])
            if changes_hash(now) != proposal.sha256:
                raise ChangedMeanwhileError(proposal, now)
            reason = f"proposal {proposal_id}"
            rows = [change.row for change in proposal.changes]
            loaded = codes.merge(cursor, proposal.flow_id, rows, maker=proposal.maker, checker=checker, reason=reason)
            _decide(cursor, proposal, ProposalState.APPROVED, person(checker), note)
            return loaded

    def reject(self, proposal_id: int, *, checker: str, note: str) -> None:
        """Close a proposal without loading it.

        Raises:
            GiveUp: the checker is the maker, no reason is given, or it is decided already.
        """
        if not note.strip():
            raise GiveUp("note_missing", "驳回须写明原因 / say why it is rejected")
        with self._connections.transaction() as cursor:
            _decide(cursor, _open(cursor, proposal_id, checker), ProposalState.REJECTED, person(checker), note)


def _open(cursor: Cursor, proposal_id: int, checker: str) -> Proposal:
    """An open proposal under lock that this person may decide on."""
    proposal = _locked(cursor, proposal_id)
    if proposal.state is not ProposalState.OPEN:
        raise GiveUp(
            "proposal_decided",
            f"提案 {proposal_id} 已由 {proposal.checker} 处理 / proposal {proposal_id} was {proposal.state.value} "
            f"by {proposal.checker} already",
        )
    codes.check_four_eyes(proposal.maker, checker)
    if changes_hash(proposal.changes) != proposal.sha256:
        raise GiveUp(
            "proposal_altered",
            f"提案 {proposal_id} 的内容与提出时不一致，拒绝生效 / the stored rows of proposal {proposal_id} are not "
            "those that were proposed: it cannot be approved or rejected, ask who keeps the database",
        )
    return proposal


def _locked(cursor: Cursor, proposal_id: int) -> Proposal:
    with cursor.connection.cursor(row_factory=dict_row) as rows:
        found = rows.execute(_LOCKED, [proposal_id]).fetchone()
    if found is None:
        raise GiveUp("no_such_proposal", f"没有提案 {proposal_id} / there is no proposal {proposal_id}")
    return _proposal(found)


def _standing(cursor: Cursor, proposal: Proposal) -> list[CodeRow]:
    """The rows that stand now under the keys of the proposal."""
    cursor.execute(
        """
        SELECT t.table_name, t.company, t.code, t.target, t.valid_from, t.valid_to FROM hub.code_table t
        JOIN unnest(%b::text[], %b::text[], %b::text[], %b::date[]) AS u(table_name, company, code, valid_from)
             USING (table_name, company, code, valid_from)
        WHERE t.flow_id = %s
        """,
        [
            [change.row.table for change in proposal.changes],
            [change.row.company for change in proposal.changes],
            [change.row.code for change in proposal.changes],
            [change.row.valid_from for change in proposal.changes],
            proposal.flow_id,
        ],
    )
    return [
        CodeRow(table=table, company=company, code=code, target=target, valid_from=start, valid_to=end)
        for table, company, code, target, start, end in cursor.fetchall()
    ]


def _decide(cursor: Cursor, proposal: Proposal, state: ProposalState, checker: str, note: str) -> None:
    cursor.execute(
        "UPDATE hub.code_proposal SET state = %s, checker = %s, decided_at = now(), decision_note = %s "
        "WHERE proposal_id = %s",
        [state.value, checker, note, proposal.proposal_id],
    )
    action = f"codes_{state.value}"
    _note(cursor, proposal.flow_id, checker, action, number=proposal.proposal_id, digest=proposal.sha256)


def _note(cursor: Cursor, flow_id: str, actor: str, action: str, *, number: int, digest: str) -> None:
    """A row of the trail that belongs to no document."""
    insert_rows(cursor, "trail", _TRAIL, [(actor, flow_id, "", action, f"proposal {number}", digest)])


def _proposal(row: Mapping[str, Any]) -> Proposal:
    values = {**row, "state": ProposalState(row["state"]), "checker": row["checker"] or ""}
    stored = values.pop("rows")
    return Proposal(changes=changes_of(stored), **values)
