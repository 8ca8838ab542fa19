"""docker-compose.yaml: docker-compose accepts it, everything in it is pinned, and every command of it runs."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from finbridge.cli.stack.airflow import TUNING

from tests.e2e.compose_world import PROJECT, ComposeWorld, config
from tools.demo.claims import Company
from tools.demo.oa_journal import OaJournal
from tools.demo.people import People

SEED = 20261122
LAG_SECONDS = 60.0
#: What differs on purpose between one machine without containers and containers.
OTHER_IN_CONTAINERS = {"AIRFLOW__API__HOST"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> Iterator[ComposeWorld]:
    with tempfile.TemporaryDirectory(prefix="finbridge-compose-", ignore_cleanup_errors=True) as name:
        world = ComposeWorld(Path(name))
        try:
            world.start()
            yield world
        finally:
            world.stop()


def test_images_are_pinned() -> None:
    images = {service["image"] for service in config()["services"].values()}
    bases = re.findall(r"^FROM (\S+)", "\n".join(p.read_text() for p in (PROJECT / "docker").iterdir()), re.MULTILINE)
    assert len(bases) == 2
    for image in [*images, *bases]:
        name, _, tag = image.partition(":")
        assert re.match(r"\d+\.\d+", tag), f"{name} is not pinned to a version: {image}"


def test_who_serves_is_healthy_and_who_waits_says_for_what() -> None:
    services = config()["services"]
    for name, service in services.items():
        for other, need in service.get("depends_on", {}).items():
            served = need["condition"] == "service_healthy"
            assert served == ("healthcheck" in services[other]), f"{name} waits for {other}"
        if "restart" in service:
            assert "healthcheck" in service, f"{name} is a server without a health check"


def test_nothing_listens_beyond_this_machine() -> None:
    ports = [port for service in config()["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_airflow_is_tuned_as_on_one_machine() -> None:
    given = config()["services"]["airflow-scheduler"]["environment"]
    both = set(TUNING) & set(given) - OTHER_IN_CONTAINERS
    assert len(both) > 15
    assert {name: given[name] for name in both} == {name: TUNING[name] for name in both}


def test_every_command_runs_and_every_server_is_healthy(world: ComposeWorld) -> None:
    assert set(world.ended) | set(world.servers) | set(world.databases) == set(world.services)
    assert set(world.ended.values()) == {0}
    assert set(world.healthy) == set(world.servers) | set(world.databases)
    assert all(process.running for process in world.servers.values())


async def test_a_claim_gets_its_voucher_number(world: ComposeWorld) -> None:
    claim = Company(SEED, date.today()).claim()  # noqa: DTZ011 - the OA's own day is this machine's
    journal = OaJournal(world.url("19081"))
    async with journal.tailed(), asyncio.timeout(LAG_SECONDS + 60), People(world.url("19080")) as people:
        request = await people.create(claim)
        await people.approve(request)
        assert await journal.until(request, lambda entry: bool(entry["main"].get("pzh")), LAG_SECONDS)
