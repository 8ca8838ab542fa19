"""``finbridge prove``: everything on this machine, killed and disturbed, then checked from outside.

The proof itself lies beside the product, not in it: it starts the stand-ins and the checker, which share no code with
the product. It needs the project's folder, as ``finbridge replay`` does.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from finbridge.cli.replay.options import PROJECT


def prove(
    documents: Annotated[int, typer.Option(help="单据数 / documents that live their lives, for each seed")] = 2000,
    seed: Annotated[list[int] | None, typer.Option(help="随机种子，可多次 / may be given more than once")] = None,
    kills: Annotated[int, typer.Option(help="最少终止次数 / processes ended at least, for each seed")] = 24,
    minutes: Annotated[float, typer.Option(help="单据分布的时长 / over which the documents are spread")] = 8.0,
    core: Annotated[bool, typer.Option(help="不含 Airflow / the framework-free core alone")] = False,
) -> None:
    """在故障与强制终止下证明：不漏、不重、不错、有据 / Kill and disturb everything, then let the checker look.

    Exit code 0: four empty sets for each seed, nothing in doubt, enough killed and moved.
    """
    command = [sys.executable, "-m", "tools.prove", "--documents", str(documents), "--kills", str(kills)]
    command += ["--minutes", str(minutes), *(["--core"] if core else [])]
    for number in seed or []:
        command += ["--seed", str(number)]
    if not (PROJECT / "tools" / "prove").is_dir():
        raise typer.BadParameter(f"请在项目目录中运行 / not a checkout of the project: {PROJECT}")
    raise typer.Exit(subprocess.run(command, cwd=PROJECT, check=False).returncode)  # noqa: S603 - our own module
