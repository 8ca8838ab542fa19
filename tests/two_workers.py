"""How `make test` spreads the suite over two workers: whole installations on one, everything else on the other.

The end-to-end tests wait most of the time: for Airflow to start, for a schedule, for five seconds of quiet. Those that
run documents are one group, which begins first and has a worker of its own; the other worker computes meanwhile.
Whichever of the two is done first takes what is left, module by module. Modules that share something dear of a session
are one group too, so that it is started once.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

TESTS = Path(__file__).resolve().parent
#: Fixtures of a session that take many seconds: modules that name one stay together.
DEAR = ("ledger_server", "workshop")
#: Begin of a path to its group where it is more than a module: Airflow is started, or imported, once.
WHOLE = {"e2e/test_pages_": "pages", "e2e/": "e2e", "dags/": "dags"}
#: Groups and folders in the order in which they are begun: what takes long does not stand at the end.
ORDER = ("e2e", *DEAR, "pages", "integration", "dags", "contract", "unit", "tidy")


@cache
def group_of(path: str) -> str:
    """The group of a test module by its path, relative to tests/."""
    for begin, group in WHOLE.items():
        if path.startswith(begin):
            return group
    text = (TESTS / path).read_text(encoding="utf-8")
    return next((name for name in DEAR if name in text), str(PurePosixPath(path).with_suffix("")))


def place(group: str) -> int:
    """Where a group stands; one of an unknown folder is last."""
    name = group.partition("/")[0]
    return ORDER.index(name) if name in ORDER else len(ORDER)


class TwoWorkers(LoadScopeScheduling):  # type: ignore[misc]  # xdist's types are not looked at
    """Groups as above instead of xdist's modules and classes."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0].removeprefix("tests/"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """For ``--dist loadscope``: whole groups go to a worker, in our order and not the one with most tests first."""
    if config.getoption("dist") != "loadscope":
        return None
    config.option.loadscopereorder = False
    return TwoWorkers(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring the groups into order, in each worker the same; within a group the order is that of the files."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place(group_of(item.path.relative_to(TESTS).as_posix())))
