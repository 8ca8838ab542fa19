"""The `finbridge` command."""

import typer

from finbridge.cli.audit_command import audit as _audit
from finbridge.cli.codes_command import codes as _codes
from finbridge.cli.decide_command import decide as _decide
from finbridge.cli.hub_command import hub as _hub
from finbridge.cli.map_command import map_ as _map
from finbridge.cli.oa_command import oa as _oa
from finbridge.cli.preview_command import preview as _preview
from finbridge.cli.prove_command import prove as _prove
from finbridge.cli.replay.command import replay as _replay
from finbridge.cli.settings_command import settings as _settings
from finbridge.cli.sim_command import sim as _sim

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _finbridge() -> None:
    """OA 与财务系统集成 / Approved OA documents become posted vouchers, and their numbers come back."""


app.add_typer(_audit, name="audit")
app.add_typer(_codes, name="codes")
app.add_typer(_decide, name="decide")
app.add_typer(_hub, name="hub")
app.command("map")(_map)
app.add_typer(_oa, name="oa")
app.command("preview")(_preview)
app.command("prove")(_prove)
app.command("replay")(_replay)
app.add_typer(_settings, name="settings")
app.command("sim")(_sim)
