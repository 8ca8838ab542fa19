"""`finbridge hub …`: the hub's databases, roles, schema, and sample code tables for stand-ins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

hub = typer.Typer(no_args_is_help=True, help="台账数据库 / the hub's database")
SUPERUSER_DSN = "FINBRIDGE_SUPERUSER_DSN"
OWNER_PASSWORD = "FINBRIDGE_HUB_OWNER_PASSWORD"  # noqa: S105 - a variable's name
APP_PASSWORD = "FINBRIDGE_HUB_APP_PASSWORD"  # noqa: S105 - a variable's name
AIRFLOW_PASSWORD = "FINBRIDGE_AIRFLOW_PASSWORD"  # noqa: S105 - a variable's name
_DATABASE = "hub"


@hub.command("prepare")
def prepare() -> None:
    """Make the databases `hub` and `airflow` with their roles, and bring the hub's schema to the newest revision.

    Harmless when run again. Reads FINBRIDGE_SUPERUSER_DSN, FINBRIDGE_HUB_OWNER_PASSWORD, FINBRIDGE_HUB_APP_PASSWORD
    and FINBRIDGE_AIRFLOW_PASSWORD. 建库、建角色、升级表结构；可重复执行。
    """
    from finbridge.hub import ensure_roles, migrate
    from finbridge.hub.databases import dsn_of, ensure_database

    superuser, owner = _given(SUPERUSER_DSN), _given(OWNER_PASSWORD)
    ensure_roles(superuser, owner_password=owner, app_password=_given(APP_PASSWORD))
    made = [
        name
        for name, role, password in ((_DATABASE, "hub_owner", None), ("airflow", "airflow", _given(AIRFLOW_PASSWORD)))
        if ensure_database(superuser, name, owner=role, password=password)
    ]
    migrate(dsn_of(superuser, _DATABASE, user="hub_owner", password=owner))
    typer.echo(f"databases made 新建数据库: {', '.join(made) or '—'}; schema is up to date 表结构已是最新")


@hub.command("migrate")
def migrate_() -> None:
    """Bring the hub's schema to the newest revision as its owner; runs in flight go on meanwhile.

    Reads FINBRIDGE_SUPERUSER_DSN (host and port) and FINBRIDGE_HUB_OWNER_PASSWORD. 升级台账表结构。
    """
    from finbridge.hub import migrate
    from finbridge.hub.databases import dsn_of

    migrate(dsn_of(_given(SUPERUSER_DSN), _DATABASE, user="hub_owner", password=_given(OWNER_PASSWORD)))
    typer.echo("schema is up to date 表结构已是最新")


@hub.command("sample-codes")
def sample_codes(
    *,
    flow: Annotated[str, typer.Option(help="as in include/flows / 流程")],
    folder: Annotated[Path, typer.Option(help="CSV files, one a table / 对照表文件夹", exists=True, file_okay=False)],
) -> None:
    """Load the code tables of the stand-ins into a hub that has none yet; all others go through `finbridge codes`.

    Reads FINBRIDGE_SUPERUSER_DSN (host and port) and FINBRIDGE_HUB_APP_PASSWORD. 载入示例对照表。
    """
    from finbridge.core.people import SAMPLE_CHECKER, SAMPLE_MAKER
    from finbridge.hub import open_hub
    from finbridge.hub.databases import dsn_of
    from finbridge.mapping.codes import read_code_files

    dsn = dsn_of(_given(SUPERUSER_DSN), _DATABASE, user="hub_app", password=_given(APP_PASSWORD))
    with open_hub(dsn) as opened:
        if opened.codes(flow):  # what maker and checker brought in is never taken back by a second start
            typer.echo(f"tables exist, nothing loaded 已有对照表，未载入: {flow}")
            return
        changed = opened.load_codes(flow, read_code_files(folder), maker=SAMPLE_MAKER, checker=SAMPLE_CHECKER)
    typer.echo(f"rows new or changed 新增或变更: {changed}")


@hub.command("recover")
def recover(*, flow: Annotated[str, typer.Option(help="as in include/flows / 流程")]) -> None:
    """After a restore to an older point: collect, then ask finance for vouchers of approvals lost since that point.

    What finance holds comes into the register, and the next sweep reverses it. Reads AIRFLOW_CONN_<ID> of the flow's
    source and target and of hub_default. May be run again. 恢复备份后：从财务系统找回已失去审批的凭证，随后自动红冲。
    Exit code 1: something is to be looked up by a person.
    """
    from finbridge.cli.recover_command import recovered
    from finbridge.core.errors import FinbridgeError

    try:
        done = recovered(flow)
    except FinbridgeError as error:
        typer.echo(error.staff, err=True)
        raise typer.Exit(1) from None
    typer.echo(
        f"已失效的审批 / approvals that are gone: {done.asked}; 财务持有 / held by finance: {done.found}; "
        f"记入台账 / taken into the register: {done.taken_over}"
    )
    if done.unreadable:
        typer.echo(f"需人工查看 / to be looked up in finance: {', '.join(done.unreadable)}")
        raise typer.Exit(1)


def _given(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise typer.BadParameter(f"请设置环境变量 {name} / set the environment variable {name}")
    return value
