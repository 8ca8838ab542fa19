"""Great Expectations judges the real rows before anything is loaded (docs/quality.md)."""

from __future__ import annotations

from pathlib import Path

from finbridge.core.ports import Judge


def load_judge(folder: Path) -> Judge:
    """The suites of a folder, compiled once; keep the judge and ask it again and again.

    Imports Great Expectations (2-9 s in a fresh process, nothing where :func:`warm` was called before the fork).

    Raises:
        GiveUp: a suite is wrong; file, line and field are named.
    """
    from finbridge.quality.suites import load_suites

    suites = load_suites(folder)
    from finbridge.quality.gx import Engine
    from finbridge.quality.judge import SuiteJudge

    return SuiteJudge(suites, Engine())


def warm() -> None:
    """Import what judging needs, for processes that fork workers (Airflow's scheduler). Starts no thread."""
    from finbridge.quality.gx import Engine

    Engine()
