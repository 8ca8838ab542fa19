"""Who sits at the keyboard, asked of Airflow's own API: the routes that the command line relies on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from finbridge.cli.airflow_login import verified_checker, verified_reader
from finbridge.core.errors import GiveUp

FLOW = "login_probe"  # no flow of the suite: what other tests store of those stays theirs
PASSWORDS = {"wang": "of wang, secret", "李": "of li, secret"}


@pytest.fixture(scope="module")
def airflow_url(metadata_database: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API server with SimpleAuthManager on a free port, and one DAG that it knows."""
    assert metadata_database
    known: Path = tmp_path_factory.mktemp("people") / "passwords.json"
    known.write_text(json.dumps(PASSWORDS))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "wang:viewer,李:op")
        patched.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(known))
        patched.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "a secret of this test " * 4)
        _store_dag()
        from airflow.api_fastapi.app import create_app, purge_cached_app

        purge_cached_app()
        server = uvicorn.Server(uvicorn.Config(create_app(apps="core"), port=0, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            thread.join(0.05)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            purge_cached_app()


def _store_dag() -> None:
    from airflow import settings
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    assert settings.Session is not None
    made = LazyDeserializedDAG.from_dag(DAG(f"{FLOW}__wake", schedule=None))
    with settings.Session() as session:
        session.merge(DagBundleModel(name="dags-folder"))
        session.flush()
        model = DagModel(dag_id=made.dag_id, bundle_name="dags-folder", fileloc="probe.py", is_stale=False)  # type: ignore[no-untyped-call]  # Airflow's own
        session.merge(model)
        session.flush()
        SerializedDagModel.write_dag(made, bundle_name="dags-folder", session=session)
        session.commit()


@pytest.fixture
def sits(airflow_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """From here on this person sits there."""
    monkeypatch.setenv("FINBRIDGE_AIRFLOW_URL", airflow_url)

    def sit(user: str, password: str | None = None) -> None:
        monkeypatch.setenv("FINBRIDGE_USER", user)
        monkeypatch.setenv("FINBRIDGE_PASSWORD", password or PASSWORDS[user])

    return sit


def test_airflow_says_who_it_is(sits: Any) -> None:
    sits("wang")
    assert verified_reader(FLOW) == "wang"
    with pytest.raises(GiveUp, match="none of those who may approve"):
        verified_checker(FLOW, ["李"])
    sits("李")
    assert verified_checker(FLOW, ["李"]) == "李"


def test_airflow_says_who_it_is_not(sits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for user, password in (("wang", "of li, secret"), ("nobody", "x"), ("WANG", PASSWORDS["wang"])):
        sits(user, password)
        with pytest.raises(GiveUp, match="does not know this name and password"):
            verified_reader(FLOW)
    sits("wang")
    with pytest.raises(GiveUp, match="may not read"):
        verified_reader("another")
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
    sits("wang", "whatever was typed")
    with pytest.raises(GiveUp, match="is no person"):
        verified_reader(FLOW)
