"""A metadata database of SQLite for the DAG tests: made once, copied for each session by VACUUM INTO.

Airflow reads its configuration when it is imported, so the variables are set here, before any DAG test imports it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.dags.dag_world import dag, documents, journal, patch, weaver

__all__ = ["dag", "documents", "journal", "metadata_database", "patch", "weaver"]

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".run" / "test-airflow"
HOME = Path(tempfile.mkdtemp(prefix="finbridge-airflow-"))

if "airflow" in sys.modules:  # pragma: no cover - a fault of the test tree, told at once
    raise RuntimeError("Airflow was imported before tests/dags could say where its database is")

VARIABLES = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",  # a task of a paused DAG would wait for ever
    "AIRFLOW__CORE__FERNET_KEY": "bm90LWEtc2VjcmV0LWp1c3QtZm9yLXRlc3RzLTEyMzQ=",
    "FINBRIDGE_WARM": "0",
    "GX_ANALYTICS_ENABLED": "false",
}
os.environ.update(VARIABLES)


def _template() -> Path:
    """A migrated, empty metadata database for this version of Airflow."""
    version = importlib.metadata.version("apache-airflow")
    name = hashlib.sha256(f"{version}:{importlib.metadata.version('apache-airflow-providers-fab')}".encode())
    path = CACHE / f"{name.hexdigest()[:12]}.db"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            made = HOME / "template.db"
            environment = {**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{made}"}
            command = [sys.executable, "-c", "from airflow.utils.db import initdb; initdb()"]
            subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
            with sqlite3.connect(made) as database:  # a plain copy would lose what is still in the WAL
                database.execute("VACUUM INTO ?", (str(path.with_suffix(".new")),))
            path.with_suffix(".new").rename(path)
    return path


@pytest.fixture(scope="session", autouse=True)
def metadata_database() -> object:
    """An empty metadata database for this session."""
    shutil.copy(_template(), HOME / "airflow.db")
    yield HOME / "airflow.db"
    shutil.rmtree(HOME, ignore_errors=True)
