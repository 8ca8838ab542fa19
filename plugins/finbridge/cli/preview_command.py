"""`finbridge preview --request ID`: the voucher of one document as it would be now. Changes nothing."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from finbridge.cli import environment
from finbridge.core.errors import FinbridgeError, GiveUp
from finbridge.core.places import include_folder

if TYPE_CHECKING:
    from finbridge.core.flow import Flow
    from finbridge.core.preview import Preview


class Language(StrEnum):
    """Of what is printed."""

    ZH = "zh"
    EN = "en"


def preview(
    *,
    request: Annotated[str, typer.Option(help="request id or business number / 流程编号或单据号")],
    flow: Annotated[str, typer.Option(help="as in include/flows; needed where there are several / 流程")] = "",
    lang: Annotated[Language, typer.Option(help="language / 语言")] = Language.ZH,
) -> None:
    """Show the voucher that a document would give now, with its 借/贷 lines, or why it gives none 试算凭证

    Connections come from AIRFLOW_CONN_<ID>: the flow's source and hub_default. Nothing is changed anywhere.
    Exit code 1: it could not be read, or would be held.
    """
    from finbridge.cli.preview_text import lines_of
    from finbridge.core.preview import PreviewVerdict

    try:
        previews = asyncio.run(_look(_flow_of(flow), request))
    except FinbridgeError as error:
        typer.echo(error.staff, err=True)
        raise typer.Exit(1) from None
    for found in previews:
        typer.echo("\n".join(lines_of(found, lang.value)))
    if any(found.verdict in (PreviewVerdict.HELD, PreviewVerdict.NOT_FOUND) for found in previews):
        raise typer.Exit(1)


def _flow_of(flow_id: str) -> Flow:
    from finbridge.flows.config import load_flows

    flows = load_flows(include_folder() / "flows")
    if not flow_id and len(flows) == 1:
        return next(iter(flows.values()))
    if flow_id not in flows:
        raise GiveUp("unknown_flow", f"请用 --flow 指定流程 / give --flow one of {', '.join(sorted(flows))}")
    return flows[flow_id]


async def _look(flow: Flow, request: str) -> list[Preview]:
    from finbridge.core.preview import Asked
    from finbridge.flows.manual import show
    from finbridge.flows.manual_find import find
    from finbridge.flows.manual_form import parse_numbers
    from finbridge.mapping import load_translator
    from finbridge.quality import load_judge
    from finbridge.systems import adapter_of

    include = include_folder()
    translator = load_translator(include / "mappings" / flow.mapping)
    settings = environment.connection(flow.source_connection)
    with environment.open_hub() as hub:
        source = adapter_of(flow.source_system).connect(settings, tokens=hub.tokens, flow=flow)
        try:
            asked = Asked(numbers=parse_numbers(request))
            found = await find(flow=flow, hub=hub, source=source, translator=translator, asked=asked)
            judge = load_judge(include / "expectations")
            parts = show(flow=flow, hub=hub, source=source, translator=translator, judge=judge, found=found)
            return [one async for part in parts for one in part]
        finally:
            await source.close()
