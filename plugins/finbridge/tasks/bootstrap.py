"""Makes an Airflow ready in one process: metadata database, roles and users, settings file.

``python -m finbridge.tasks.bootstrap [--settings FILE]``; users come as JSON on stdin (``{"users": [...]}``) so that no
password stands in a command line. Three calls of Airflow's own command would take 15 seconds; this takes about five.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finbridge.core.errors import FinbridgeError
from finbridge.tasks.settings import read_settings, store_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 when everything stands."""
    parser = argparse.ArgumentParser(prog="python -m finbridge.tasks.bootstrap")
    parser.add_argument("--settings", type=Path, help="a file in Astro CLI's format")
    parser.add_argument("--only-settings", action="store_true", help="the metadata database is there already")
    options = parser.parse_args(argv)
    settings = read_settings(options.settings) if options.settings else None
    if not options.only_settings:
        users = json.loads(sys.stdin.read() or "{}").get("users", [])
        _say("元数据库 metadata database", make_database)
        _say(f"用户 users: {len(users)}", lambda: make_users(users))
    if settings is not None:
        stored: dict[str, int] = {}
        _say("连接与资源池 connections and pools", lambda: stored.update(store_settings(settings)))
        _tell("已载入 loaded " + ", ".join(f"{count} {what}" for what, count in stored.items()))
    return 0


def _say(what: str, work: Any) -> None:
    begin = time.monotonic()
    work()
    _tell(f"{what}: {time.monotonic() - begin:.1f} s")


def _tell(text: str) -> None:
    """A line of progress, marked so that Airflow's own chatter can be told from it."""
    sys.stdout.write(f"* {text}\n")
    sys.stdout.flush()


def make_database() -> None:
    """Create or migrate the tables of Airflow and of its user manager."""
    from airflow.utils.db import initdb

    initdb()


def make_users(users: Sequence[Mapping[str, str]]) -> None:
    """Add users with their role, or give an existing one the password of the list."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    logging.getLogger("airflow.providers.fab").setLevel(logging.WARNING)
    with get_application_builder() as builder:
        manager = builder.sm
        _let_see_pages(manager)
        for user in users:
            known = manager.find_user(username=user["name"])
            if known is not None:
                manager.reset_password(known.id, user["password"])
                continue
            manager.add_user(
                username=user["name"],
                first_name=user["first_name"],
                last_name=user["last_name"],
                email=f"{user['name']}@example.invalid",
                role=manager.find_role(user["role"]),
                password=user["password"],
            )


def _let_see_pages(manager: Any) -> None:
    """Airflow shows the menu entry of pages to those who may read "Plugins"; which of its roles may is narrower.

    The pages themselves ask for the right to read a flow's DAG, whatever the menu shows.
    """
    permission = manager.create_permission("can_read", "Plugins")
    for name in ("Viewer", "User"):
        manager.add_permission_to_role(manager.find_role(name), permission)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FinbridgeError as error:
        sys.exit(f"error: {error.staff}")
