"""`finbridge oa fields`: what a form has, from the OA itself; and the bindings file of its environment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finbridge.cli import environment
from finbridge.core.errors import FinbridgeError, GiveUp

if TYPE_CHECKING:
    from finbridge.core.form import Form

oa = typer.Typer(no_args_is_help=True, help="OA 表单 / forms of the OA")


@oa.callback()
def _group() -> None:
    """Keeps `fields` a subcommand."""


@oa.command("fields")
def fields(
    *,
    workflow: Annotated[str, typer.Option(help="workflow id / 流程编号")],
    bind: Annotated[Path | None, typer.Option(help="write the bindings of this environment here / 生成列对照")] = None,
    connection: Annotated[str, typer.Option(help="connection id, from AIRFLOW_CONN_<ID>")] = "weaver_default",
    system: Annotated[str, typer.Option(help="the OA's connector / 连接器")] = "weaver",
) -> None:
    """List a workflow's columns with label, type and a masked sample, from its newest documents. 表单字段"""
    from finbridge.flows.form_fields import bindings_text, table_lines

    try:
        form = asyncio.run(_form(system, connection, workflow))
    except FinbridgeError as error:
        typer.echo(error.staff, err=True)
        raise typer.Exit(1) from None
    typer.echo("\n".join(table_lines(form)))
    if bind is not None:
        bind.parent.mkdir(parents=True, exist_ok=True)
        bind.write_text(bindings_text(form), encoding="utf-8")
        typer.echo(f"\n{bind}: 已生成 / written")


async def _form(system: str, conn_id: str, workflow: str) -> Form:
    from finbridge.systems import adapter_of

    settings = environment.connection(conn_id)
    adapter = adapter_of(system)
    with environment.open_hub() as hub:
        source = adapter.connect(settings, tokens=hub.tokens, flow=None)
        try:
            if not hasattr(source, "form"):
                raise GiveUp("no_forms", f"该系统不提供表单结构 / the connector of {system} shows no forms")
            form: Form | None = await source.form(workflow)
        finally:
            await source.close()
    if form is None:
        raise GiveUp(
            "no_documents",
            f"集成账号看不到流程 {workflow} 的任何单据 / the integration account sees no document of workflow "
            f"{workflow}: check the id, or submit one test document",
        )
    return form
