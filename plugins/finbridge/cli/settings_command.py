"""`finbridge settings load FILE`: connections, pools and variables into Airflow's metadata database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

settings = typer.Typer(no_args_is_help=True, help="airflow_settings.yaml 设置文件")


@settings.callback()
def _group() -> None:
    """Keeps `load` a subcommand."""


@settings.command("load")
def load(
    file: Annotated[Path, typer.Argument(help="a file in Astro CLI's format / 设置文件")] = Path(
        "airflow_settings.yaml"
    ),
) -> None:
    """Load into the metadata database that AIRFLOW__DATABASE__SQL_ALCHEMY_CONN names; what stands there is replaced.

    Airflow is another room: a process of its own does it, so that this command loads no Airflow.
    """
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "finbridge.tasks.bootstrap", "--only-settings", "--settings", str(file)], check=False
    )
    raise typer.Exit(done.returncode)
