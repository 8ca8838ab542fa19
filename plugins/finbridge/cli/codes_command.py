"""`finbridge codes …`: code tables 对照表 out as Excel or CSV, in as proposals that a second person approves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finbridge.cli import environment
from finbridge.core.codes import ChangeKind, CodeChange, MasterKind, MissingCode, ProposalState
from finbridge.core.errors import FinbridgeError
from finbridge.core.places import include_folder

if TYPE_CHECKING:
    from finbridge.core.flow import Flow
    from finbridge.flows.codes import Room
    from finbridge.hub import PostgresHub

codes = typer.Typer(no_args_is_help=True, help="对照表 / code tables, with maker and checker")
_FlowId = Annotated[str, typer.Option("--flow", help="as in include/flows / 流程")]
_Number = Annotated[int, typer.Argument(help="number of the proposal / 提案编号")]
_Note = Annotated[str, typer.Option("--note", help="why / 说明")]
_WORDS = {
    ChangeKind.NEW: "新增 new",
    ChangeKind.CHANGED: "变更 changed",
    ChangeKind.ENDED: "终止 ended",
    ChangeKind.SAME: "不变 same",
}
_STATES = {
    ProposalState.OPEN: "待复核 open",
    ProposalState.APPROVED: "已生效 approved",
    ProposalState.REJECTED: "已驳回 rejected",
}
_SHOWN = 200


@contextmanager
def _told() -> Iterator[None]:
    """What a person must mend is said in one sentence; exit code 1."""
    try:
        yield
    except FinbridgeError as error:
        typer.echo(error.staff, err=True)
        raise typer.Exit(1) from None


@codes.command("export")
def export(*, flow: _FlowId, out: Annotated[Path, typer.Option(help=".xlsx or .csv")]) -> None:
    """Write all code tables of a flow, with names of accounts, maker, checker and time. 导出对照表"""
    from finbridge.flows import codes as verbs

    with _told(), _opened(flow) as (room, _):
        typer.echo(f"{out}: {verbs.export(room, out)} 行 rows")


@codes.command("propose")
def propose(
    *,
    flow: _FlowId,
    file: Annotated[Path, typer.Option(help=".xlsx or .csv")],
    note: _Note = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the difference, store nothing / 只看差异")] = False,
) -> None:
    """Validate a file, show how it differs, and store it as a proposal for a second person. 提交变更，待他人复核

    Asks Airflow who you are, unless it is a dry run: FINBRIDGE_AIRFLOW_URL, and your name and password there.
    """
    from finbridge.cli.airflow_login import verified_reader
    from finbridge.flows import codes as verbs

    with _told(), _opened(flow) as (room, _):
        maker = "" if dry_run else verified_reader(flow)
        found = verbs.propose(room, file, maker=maker, note=note, store=not dry_run)
        _show(room, found.changes)
        for place in found.left_open[:_SHOWN]:
            typer.echo(f"  未填目标，未提交 / no target yet, left open: {place}")
        typer.echo(f"文件未涉及、保持不变的行 / rows that the file does not name, unchanged: {found.unnamed}")
        if not room.checks_targets:
            typer.echo(
                "目标未核对：该财务系统不提供主数据 / targets not checked: this finance system shows no master data"
            )
        if found.proposal is None:
            why = "试运行，未保存 / dry run, nothing stored" if dry_run else "没有变化，无需提案 / nothing changes"
            typer.echo(why)
            return
        typer.echo(
            f"提案 / proposal {found.proposal.proposal_id} sha256 {found.proposal.sha256[:16]}…: 请另一人复核 / "
            f"another person approves it: finbridge codes approve {found.proposal.proposal_id}"
        )


@codes.command("proposals")
def proposals(
    *,
    flow: Annotated[str, typer.Option("--flow", help="of one flow only / 流程")] = "",
    everything: Annotated[bool, typer.Option("--all", help="decided ones too / 含已处理")] = False,
    number: Annotated[int | None, typer.Option("--show", help="the rows of one proposal / 显示一个提案")] = None,
) -> None:
    """List proposals, or show one row by row. 提案列表"""
    with _told(), environment.open_hub() as hub:
        if number is not None:
            made = hub.proposals.proposal(number)
            typer.echo(_line(made.proposal_id, made.state, made.flow_id, f"{made.maker} {made.note}"))
            _show(None, made.changes)
            return
        found = hub.proposals.proposals(flow or None, only_open=not everything)
        for made in found:
            kinds = Counter(change.kind for change in made.changes)
            counts = ", ".join(f"{_WORDS[kind]} {count}" for kind, count in sorted(kinds.items()))
            at = f"{made.made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            decided = f" → {made.checker} {made.decision_note}" if made.checker else ""
            rest = f"{made.maker} {at} {counts} {made.note}{decided}"
            typer.echo(_line(made.proposal_id, made.state, made.flow_id, rest))
        typer.echo(f"共 / in all: {len(found)}")


@codes.command("approve")
def approve(*, number: _Number, note: _Note = "") -> None:
    """Load exactly the stored rows of a proposal; what lacked those codes or is not sent is looked at again. 复核通过

    Asks Airflow who you are; you must be one of the flow's checkers.
    """
    from finbridge.hub.proposals import ChangedMeanwhileError

    with _told(), environment.open_hub() as hub:
        try:
            loaded = hub.proposals.approve(number, checker=_checker(hub, number), note=note)
        except ChangedMeanwhileError as error:
            _show(None, error.changes)
            raise
        typer.echo(f"提案 / proposal {number}: 已生效 / loaded {loaded} 行 rows")
        old = len(hub.proposals.posted(number))
        if old:
            typer.echo(
                f"已按旧代码过账、不会更改 / posted under the old code, never changed: {old} 张凭证 vouchers; "
                f"finbridge codes posted {number}"
            )


@codes.command("reject")
def reject(*, number: _Number, note: _Note) -> None:
    """Close a proposal without loading it; for the flow's checkers. 驳回"""
    with _told(), environment.open_hub() as hub:
        hub.proposals.reject(number, checker=_checker(hub, number), note=note)
        typer.echo(f"提案 / proposal {number}: 已驳回 / rejected")


@codes.command("posted")
def posted(*, number: _Number) -> None:
    """List vouchers in finance whose lines carry a target that a proposal corrects. 已按旧代码过账的凭证

    Nothing changes them. Another code may have the same target: a person looks, and corrects in the OA or in finance.
    """
    with _told(), environment.open_hub() as hub:
        found = hub.proposals.posted(number)
        for item in found[:_SHOWN]:
            typer.echo(
                f"  {item.company}  {item.business_number}  {item.finance_number or item.state}  "
                f"{item.posting_date}  {item.targets}  {item.key}"
            )
        typer.echo(f"已按旧代码过账 / posted under the old code: {len(found)}")


def _checker(hub: PostgresHub, number: int) -> str:
    """Who decides on a proposal, as Airflow says."""
    from finbridge.cli.airflow_login import verified_checker

    flow = flow_of(hub.proposals.proposal(number).flow_id)
    return verified_checker(flow.flow_id, flow.code_checkers)


@codes.command("missing")
def missing(
    *,
    flow: _FlowId,
    out: Annotated[
        Path | None, typer.Option(help="a file to fill in and propose: .xlsx or .csv / 待填写的文件")
    ] = None,
) -> None:
    """List the codes that hold documents, the most needed first. 缺失的代码"""
    from finbridge.flows import codes as verbs

    with _told(), _opened(flow) as (room, hub):
        found = hub.proposals.missing(flow)
        for item in found[:_SHOWN]:
            typer.echo(_missing_line(item, verbs.amount_text(item, room.flow)))
        typer.echo(f"缺失代码 / missing codes: {len(found)}")
        if out is not None:
            typer.echo(f"{out}: {verbs.export_missing(room, out)} 行待填写 / rows to fill in")


@codes.command("master")
def master(*, flow: _FlowId) -> None:
    """Read accounts, cost centres and parties from finance, so that targets can be checked. 读取财务主数据"""
    from finbridge.flows.codes import refresh_master
    from finbridge.systems import adapter_of

    with _told(), _opened(flow) as (room, hub):
        if not room.checks_targets:
            typer.echo("该财务系统不提供主数据 / this finance system shows no master data", err=True)
            raise typer.Exit(1)

        async def read() -> dict[str, int]:
            settings = environment.connection(room.flow.target_connection)
            ledger = adapter_of(room.flow.target_system).connect(settings, tokens=hub.tokens, flow=room.flow)
            try:
                return await refresh_master(flow=room.flow, master=hub.master_data, ledger=ledger)
            finally:
                await ledger.close()

        counts = asyncio.run(read())
        typer.echo(", ".join(f"{name} {count}" for name, count in counts.items()))  # counts alone: parties are people


@contextmanager
def _opened(flow_id: str) -> Iterator[tuple[Room, PostgresHub]]:
    from finbridge.flows.codes import Room
    from finbridge.flows.codes_tables import tables_of
    from finbridge.systems import adapter_of

    flow = flow_of(flow_id)
    with environment.open_hub() as hub:
        room = Room(
            flow=flow,
            tables=tables_of(include_folder() / "mappings" / flow.mapping),
            codes=hub.proposals,
            master=hub.master_data,
            checks_targets=bool(getattr(adapter_of(flow.target_system), "READS_MASTER_DATA", False)),
        )
        yield room, hub


def flow_of(flow_id: str) -> Flow:
    """A declared flow.

    Raises:
        GiveUp: there is no such flow.
    """
    from finbridge.core.errors import GiveUp
    from finbridge.flows.config import load_flows

    flows = load_flows(include_folder() / "flows")
    if flow_id not in flows:
        raise GiveUp("unknown_flow", f"没有该流程 / no flow {flow_id!r} in include/flows: {', '.join(sorted(flows))}")
    return flows[flow_id]


# ---------------------------------------------------------------- what people read


def _show(room: Room | None, changes: Sequence[CodeChange]) -> None:
    """The difference, row by row; rows that stay the same are counted only."""
    telling = [change for change in changes if change.kind is not ChangeKind.SAME]
    names = _names(room)
    for change in telling[:_SHOWN]:
        typer.echo(_change_line(change, names))
    if len(telling) > _SHOWN:
        typer.echo(f"  … +{len(telling) - _SHOWN}")
    counts = Counter(change.kind for change in changes)
    typer.echo(", ".join(f"{word}: {counts[kind]}" for kind, word in _WORDS.items()))


def _names(room: Room | None) -> dict[tuple[str, str], str]:
    """Names of accounts and cost centres by company and code; those of parties may be people's and are not shown."""
    if room is None:
        return {}
    return {(r.company, r.code): r.name for r in room.master.all(room.system) if r.kind is not MasterKind.PARTY}


def _change_line(change: CodeChange, names: dict[tuple[str, str], str]) -> str:
    row, before = change.row, change.before
    name = names.get((row.company, row.target)) or next((n for (_, c), n in names.items() if c == row.target), "")
    was = f"{before.target} [{_span(before.valid_from, before.valid_to)}] → " if before else ""
    company = row.company or "*"
    shown = f"{row.target} {name}".rstrip() + f" [{_span(row.valid_from, row.valid_to)}]"
    return f"  {_WORDS[change.kind]}: {row.table} {company} {row.code}: {was}{shown}"


def _span(start: object, end: object) -> str:
    return f"{start} … {end or ''}".rstrip()


def _line(number: int, state: ProposalState, flow_id: str, rest: str) -> str:
    return f"{number:>6}  {_STATES[state]}  {flow_id}  {rest}".rstrip()


def _missing_line(item: MissingCode, amount: str) -> str:
    reason = "" if item.reason == "unknown_code" else "  有重叠的行 two rows valid at once"
    held = f"{item.documents} 单 documents, {amount or '–'}, {item.first_day}"
    return f"  {item.table}  {item.code}  {item.company}: {held}{reason}"
