"""The demo's stack with a proxy in front of each system that the suite talks to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from finbridge.tasks.settings import ConnectionRow

from tools.demo.kills import NAMES, Victim, victim_of
from tools.demo.stack import Say, Stack
from tools.prove.doors import Door
from tools.prove.victims import Restarted

#: Connection of the settings file -> what its proxy is called.
DOORS = {"weaver_default": "oa-proxy", "tryton_default": "ledger-proxy", "hub_default": "hub-proxy"}


class ProvingStack(Stack):
    """As `tools.demo.stack.Stack`; the suite's connections lead through proxies, people's and journals' do not."""

    def __init__(self, state: Path, say: Say, *, airflow_environment: Mapping[str, str] | None = None) -> None:
        super().__init__(state, say, airflow_environment=airflow_environment)
        self.doors = {name: Door(name, self.server_port(conn), state / "doors") for conn, name in DOORS.items()}

    def start(self) -> None:
        """The proxies first: a client may come before its server does."""
        for door in self.doors.values():
            door.start()
        super().start()

    def stop(self) -> None:
        """The proxies last: what is being stopped may still say something."""
        super().stop()
        for door in self.doors.values():
            door.process.stop()

    def connection(self, conn_id: str) -> ConnectionRow:
        """A connection as the suite has it: its port is that of the proxy."""
        row = super().connection(conn_id)
        return replace(row, port=self.doors[DOORS[conn_id]].port) if conn_id in DOORS else row

    @property
    def killable(self) -> tuple[str, ...]:
        """Names of everything that can be killed."""
        return (*NAMES, *self.doors)

    def victim(self, name: str) -> Victim:
        """One of them."""
        return Restarted(self, self.doors[name].process) if name in self.doors else victim_of(self, name)
