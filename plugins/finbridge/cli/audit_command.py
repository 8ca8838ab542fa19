"""`finbridge audit …`: seal evidence, verify that nobody touched it, write a pack that auditors check without us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from finbridge.cli import environment
from finbridge.core.errors import FinbridgeError

audit = typer.Typer(no_args_is_help=True, help="审计留痕防篡改 / tamper evidence")
_Anchors = Annotated[
    Path | None, typer.Option("--anchors", help="file of anchors, default FINBRIDGE_AUDIT_ANCHORS / 锚定文件")
]
_SHOWN = 50


@contextmanager
def _told() -> Iterator[None]:
    """What a person must mend is said in one sentence; exit code 1."""
    try:
        yield
    except FinbridgeError as error:
        typer.echo(error.staff, err=True)
        raise typer.Exit(1) from None


@audit.command("seal")
def seal(*, anchors: _Anchors = None) -> None:
    """Seal what is not sealed yet, as each run does at its end. 立即封存"""
    from finbridge.flows import audit as verbs

    with _told(), environment.open_hub() as hub:
        typer.echo(verbs.seal(hub.audit, anchors or verbs.anchors_file()))


@audit.command("verify")
def verify(
    *,
    anchors: _Anchors = None,
    anchor: Annotated[
        list[str] | None, typer.Option(help="an anchor from a log, number:hash:chain / 日志中的锚")
    ] = None,
) -> None:
    """Compare everything; names the first document and column that was touched, and ends with 1 then. 校验"""
    from finbridge.flows import audit as verbs

    with _told(), environment.open_hub() as hub:
        known = verbs.read_anchors(anchors or verbs.anchors_file(), anchor or ())
        done = hub.audit.verify(known)
    typer.echo(
        f"封印 seals: {done.seals}; 已封存行 sealed rows: {done.sealed}; 待封存 not sealed yet: {done.unsealed}; "
        f"可变行 changeable rows: {done.changing}; 锚 anchors: {len(known)}"
    )
    if not known:
        typer.echo(
            "未给出锚：链尾被截断无法发现 / no anchor was given: a chain whose end was cut off would look sound",
            err=True,
        )
    for finding in done.findings[:_SHOWN]:
        typer.echo(verbs.told(finding), err=True)
    if len(done.findings) > _SHOWN:
        typer.echo(f"… +{len(done.findings) - _SHOWN}", err=True)
    if not done.green:
        raise typer.Exit(1)
    typer.echo(f"完好 nothing was touched; {done.newest}")


@audit.command("pack")
def pack(
    *,
    period: Annotated[str, typer.Option(help="YYYY-MM / 会计期间")],
    out: Annotated[Path, typer.Option(help="a new folder / 新目录", file_okay=False)],
    company: Annotated[str | None, typer.Option(help="公司代码, default all")] = None,
    wire: Annotated[
        bool, typer.Option("--wire", help="with the bytes as received, personal data included / 含原始报文与个人信息")
    ] = False,
) -> None:
    """Write what an auditor needs to rebuild each voucher of a period without this suite. 生成审计包"""
    from finbridge.flows import audit_pack

    verifier = Path(__file__).with_name("pack_verifier.py")
    with _told(), environment.open_hub() as hub:
        done = audit_pack.write_pack(hub.audit, out, verifier, period=period, company=company, wire=wire)
    typer.echo(f"{out}: 单据 documents {done.documents}, 凭证 vouchers {done.vouchers}, 证据行 rows {done.rows}")
    for sha256 in done.missing_mappings:
        typer.echo(f"凭证模板文件未留存 mapping file not kept: {sha256}", err=True)
    typer.echo(f"清单哈希，请另行留存 manifest, keep it apart: {done.manifest}")
