"""`python -m sandbox.weaver --port 0 --control-port 0 --data DIR`: the e-cology stand-in as a process."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvloop

from sandbox.weaver.auth import Auth
from sandbox.weaver.clock import VirtualClock
from sandbox.weaver.control import Control
from sandbox.weaver.engine import Engine
from sandbox.weaver.impose import define_workflow
from sandbox.weaver.model import SEED, load_seed, workflow_from
from sandbox.weaver.modes import Modes, mode_seed
from sandbox.weaver.options import Options
from sandbox.weaver.render import Renderer
from sandbox.weaver.server import Oa
from sandbox.weaver.store import Store
from sandbox.wire import LOCAL, hold, listen, ready_line, stop_signal


def build(folder: Path, seed_file: Path) -> Oa:
    """An OA over a data folder; a folder that was used before goes on where it stopped."""
    store, seed, options, clock = Store(folder), load_seed(seed_file), Options(), VirtualClock()
    options.update(store.meta("options") or {})
    clock.restore(store.meta("clock") or {})
    clock.skew_seconds = options.date_skew_seconds
    workflows = {item["id"]: workflow_from(item, seed.forms[item["form"]]) for item in seed.workflows}
    engine = Engine(store, clock, workflows, seed.users, options)
    for item in store.metas("workflow.").values():
        define_workflow(engine, {**item["spec"], **item["form"], "id": item["spec"]["id"]})
    auth = Auth(store, seed.users, seed.apps, options)
    modes = Modes(mode_seed(seed.modes), store, clock, seed.users, options)
    return Oa(engine, auth, Renderer(workflows, seed.users, options), modes, options)


async def serve(arguments: argparse.Namespace) -> None:
    """Listen on both ports until a signal; then write what is left and go."""
    lock, stop = hold(arguments.data), stop_signal()
    oa = build(arguments.data, arguments.seed)
    runner, port = await listen(oa.handle, arguments.port, arguments.host)
    control, control_port = await listen(Control(oa).handle, arguments.control_port, arguments.host)
    ready_line(port=port, control_port=control_port)
    await stop.wait()
    await runner.cleanup()
    await control.cleanup()
    oa.engine.store.close()
    lock.close()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="sandbox.weaver", description="Weaver e-cology E9 stand-in")
    parser.add_argument("--host", default=LOCAL, help="where to listen; a container needs 0.0.0.0")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps the state")
    parser.add_argument("--seed", type=Path, default=SEED, help="users and workflows of a fresh OA (JSON)")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
