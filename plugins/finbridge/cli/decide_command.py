"""`finbridge decide …`: what a person says about a voucher that the suite must not go on with by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from finbridge.cli import environment
from finbridge.core.decisions import Choice
from finbridge.core.errors import FinbridgeError, GiveUp
from finbridge.core.places import include_folder

if TYPE_CHECKING:
    from finbridge.core.decisions import Decided, Undecided
    from finbridge.core.flow import Flow
    from finbridge.hub import PostgresHub

decide = typer.Typer(no_args_is_help=True, help="人工决定 / decisions about vouchers that wait for a person")
_FlowId = Annotated[str, typer.Option("--flow", help="as in include/flows / 流程")]
_Key = Annotated[str, typer.Argument(help="key of the voucher, as the lists show it / 凭证键")]
_Reason = Annotated[str, typer.Option("--reason", help="why; stands in the trail / 理由，记入留痕")]


@contextmanager
def _told() -> Iterator[None]:
    """What a person must mend is said in one sentence; exit code 1."""
    try:
        yield
    except FinbridgeError as error:
        typer.echo(error.staff, err=True)
        raise typer.Exit(1) from None


@decide.command("list")
def list_(*, flow: _FlowId) -> None:
    """List vouchers that wait for a decision, each with the fields that differ. 待决定的凭证"""
    with _told(), environment.open_hub() as hub:
        found = hub.decisions.undecided(_flow_of(flow).flow_id)
        for one in found:
            typer.echo("\n".join(_lines(one)))
        typer.echo(f"待决定 / waiting for a decision: {len(found)}")


@decide.command("accept")
def accept(*, flow: _FlowId, key: _Key, reason: _Reason) -> None:
    """What finance holds under this key is the voucher: its number goes onto the form. 接受财务现有凭证

    The register takes over finance's date and lines, so that a later reversal takes back exactly those.
    """
    _decide(flow, key, Choice.ACCEPT, reason)


@decide.command("look-again")
def look_again(*, flow: _FlowId, key: _Key, reason: _Reason) -> None:
    """Finance was corrected: ask it once more and go on by the ordinary rules. 重新查询财务"""
    _decide(flow, key, Choice.LOOK_AGAIN, reason)


@decide.command("reversed")
def reversed_(*, flow: _FlowId, key: _Key, reason: _Reason) -> None:
    """People took the voucher back in finance: nothing of it is live; a new approval makes a new one. 确认财务已红冲"""
    _decide(flow, key, Choice.REVERSED, reason)


def _decide(flow_id: str, key: str, choice: Choice, reason: str) -> None:
    from finbridge.cli.airflow_login import verified_decider

    with _told():
        flow = _flow_of(flow_id)
        person = verified_decider(flow.flow_id, flow.deciders)
        with environment.open_hub() as hub:
            done = asyncio.run(_store(flow, hub, key=key.strip().upper(), choice=choice, person=person, reason=reason))
        when = f" {done.at:%Y-%m-%d %H:%M}" if done.at else ""
        said = "此前已作同一决定，未重复处理 / decided before, nothing done" if done.again else "已决定 / decided"
        typer.echo(f"{said}: {choice.value} · {key} · 单据 document {done.document_id} · {done.person}{when}")


async def _store(flow: Flow, hub: PostgresHub, *, key: str, choice: Choice, person: str, reason: str) -> Decided:
    from finbridge.flows.deciding import decide as verb
    from finbridge.systems import adapter_of

    settings = environment.connection(flow.target_connection)
    ledger = adapter_of(flow.target_system).connect(settings, tokens=hub.tokens, flow=flow)
    try:
        return await verb(
            flow=flow, desk=hub.decisions, ledger=ledger, key=key, choice=choice, person=person, reason=reason
        )
    finally:
        await ledger.close()


def _flow_of(flow_id: str) -> Flow:
    from finbridge.flows.config import load_flows

    flows = load_flows(include_folder() / "flows")
    if flow_id not in flows:
        raise GiveUp("unknown_flow", f"没有该流程 / no flow {flow_id!r} in include/flows: {', '.join(sorted(flows))}")
    return flows[flow_id]


def _lines(one: Undecided) -> Iterator[str]:
    yield f"{one.key}  {one.company}  {one.business_number}  {one.document_id}  {one.since:%Y-%m-%d %H:%M}"
    for part in one.detail.split(" | "):
        yield f"    {part}"
