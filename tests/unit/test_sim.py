"""The simulation: a seed is a world, always the same; what it finds it can show in few steps."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from finbridge.cli import app
from finbridge.sim.campaign import Tally, play, run, shrink
from finbridge.sim.history import Mode, draw
from finbridge.sim.world import World
from typer.testing import CliRunner

STEPS = 80
_DIGEST = """
from finbridge.sim.campaign import play
from finbridge.sim.history import Mode, draw
for mode in Mode:
    for seed in range(12):
        world = play(draw(seed, 80, mode))
        print(mode, seed, world.kernel.turns, world.office.digest(), world.books.digest(), world.clock.seconds)
"""
_LOADED = """
import sys
import finbridge.sim.campaign
print(sorted({"airflow", "psycopg", "aiohttp", "duckdb", "pandas", "great_expectations"} & set(sys.modules)))
"""


def _output(script: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **env}, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_a_seed_is_one_world_in_every_process() -> None:
    first = _output(_DIGEST, PYTHONHASHSEED="1")
    assert len(first.splitlines()) == 24
    assert first == _output(_DIGEST, PYTHONHASHSEED="2")


def test_the_simulation_loads_no_airflow_no_database_and_no_network() -> None:
    assert _output(_LOADED).strip() == "[]"


@pytest.mark.parametrize("mode", list(Mode))
def test_no_promise_breaks_and_the_worlds_are_not_idle(mode: Mode) -> None:
    tally = Tally()
    findings = list(run(range(60), STEPS, mode, tally))
    assert findings == []
    assert tally.documents > 100
    assert tally.vouchers > 60
    assert tally.crashes.total() > 50
    assert len(tally.faults) > 30


def test_a_world_that_was_played_leaves_nothing_running() -> None:
    world = play(draw(3, STEPS, Mode.BOUNDED))
    assert world.kernel.processes == {}


def test_a_broken_promise_is_shown_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finbridge.flows.delivering.read_again", _no_second_read)
    finding = next(run(range(1000), STEPS, Mode.BOUNDED, Tally()))
    short = shrink(finding)
    assert short.broken.promise == finding.broken.promise
    assert len(short.history.steps) < STEPS / 4
    again = World(short.history)
    again.play()
    assert [str(broken) for broken in again.broken[:1]] == [str(short.broken)]


async def _no_second_read(
    flow: object, source: object, translator: object, works: object, items: list[object]
) -> object:
    return items, []


def test_any_step_can_be_left_out() -> None:
    history = draw(5, 40, Mode.BOUNDED)
    for number in range(len(history.steps)):
        steps = (*history.steps[:number], *history.steps[number + 1 :])
        assert play(replace(history, steps=steps)).broken == []


def test_the_command_prints_seeds_steps_documents_crashes_and_faults() -> None:
    done = CliRunner().invoke(app, ["sim", "--seed", "7", "--seeds", "5", "--mode", "bounded"])
    assert done.exit_code == 0, done.output
    assert "bounded: seeds 7..11, steps 400" in done.output
    assert "documents" in done.output
    assert "crashes" in done.output
    assert "faults" in done.output


def test_the_command_fails_with_the_seed_and_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finbridge.flows.delivering.read_again", _no_second_read)
    done = CliRunner().invoke(app, ["sim", "--seeds", "1000", "--mode", "unlimited"])
    assert done.exit_code == 1
    assert "broken: read again before the send" in done.output
    assert "shortest history found" in done.output
