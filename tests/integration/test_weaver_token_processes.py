"""Processes that share registration and token through the hub, as workers of one suite do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.contract.sandbox_process import ROOT, SandboxProcess
from tests.hub_fixtures import SECRET, HubDatabase

WORKER = """
import asyncio, json, sys
from finbridge.core.connections import ConnectionSettings
from finbridge.hub import open_hub
from finbridge.systems.weaver.adapter import connect

async def ask(hub, port):
    settings = ConnectionSettings(conn_id="oa", host="127.0.0.1", port=port, login="900", extra={"appid": "finbridge"})
    source = connect(settings, tokens=hub.tokens)
    try:
        return (await source.now()).isoformat()
    finally:
        await source.close()

given = json.load(sys.stdin)
with open_hub(given["dsn"], secret=given["secret"]) as hub:
    print(asyncio.run(ask(hub, given["port"])))
"""


def ask_from_processes(count: int, dsn: str, port: int) -> list[str]:
    """Start workers at once; what each of them printed."""
    given = json.dumps({"dsn": dsn, "secret": SECRET, "port": port})
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(count)
    ]
    try:
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(given)
            worker.stdin.close()
            worker.stdin = None
        return [worker.communicate(timeout=60)[0].strip() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


def test_racing_processes_register_once_and_share_one_token(hub_database: HubDatabase, tmp_path: Path) -> None:
    with SandboxProcess("sandbox.weaver", "--data", str(tmp_path)) as process:
        process.control("POST", "/clock", {"now": "2026-11-22T09:00:00"})
        assert ask_from_processes(4, hub_database.app_dsn, process.port) == ["2026-11-22T09:00:00"] * 4
        calls = process.control("GET", "/stats")["calls"]
        assert (calls["regist"], calls["applytoken"]) == (1, 1)
        process.control("POST", "/expire-tokens")
        assert ask_from_processes(3, hub_database.app_dsn, process.port) == ["2026-11-22T09:00:00"] * 3
        calls = process.control("GET", "/stats")["calls"]
        assert (calls["regist"], calls["applytoken"]) == (1, 2)
