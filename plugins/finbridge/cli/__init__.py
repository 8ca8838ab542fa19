"""The `finbridge` command."""

import typer

from finbridge.cli.replay.command import replay as _replay

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _finbridge() -> None:
    """OA 与财务系统集成 / Approved OA documents become posted vouchers, and their numbers come back."""


app.command("replay")(_replay)
