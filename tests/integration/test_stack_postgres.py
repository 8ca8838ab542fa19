"""A PostgreSQL server of our own: durable, with passwords, back after kill -9, as root or not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from finbridge.cli.stack.postgres import Postgres, PostgresFailed, free_port

from tests.hub_fixtures import server_folder

NOBODY = 65534


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with server_folder() as folder, Postgres(folder, max_connections=40) as started:
        yield started


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder() as made:
        yield made


def test_it_is_version_16_durable_and_speaks_utf8(server: Postgres) -> None:
    settings = dict(
        server.execute(
            "postgres",
            "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', "
            "'max_connections', 'listen_addresses', 'server_version_num', 'password_encryption', 'server_encoding')",
        )
    )
    assert settings.pop("server_version_num").startswith("16")
    assert settings == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "max_connections": "40",
        "listen_addresses": "127.0.0.1",
        "password_encryption": "scram-sha-256",
        "server_encoding": "UTF8",
    }
    collations = server.execute("postgres", "SELECT DISTINCT datcollate FROM pg_database")
    assert collations == [("C.UTF-8",)]


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix socket"])
def test_nobody_gets_in_without_a_password(server: Postgres, unix: bool) -> None:
    server.ensure_role("guest", "right")
    with psycopg.connect(server.dsn("postgres", "guest", "right", unix=unix)) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("guest",)
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.dsn("postgres", "guest", password, unix=unix))


def test_databases_are_made_once_and_from_templates(server: Postgres) -> None:
    server.ensure_role("owner", "owner")
    assert server.create_database("one", owner="owner")
    assert not server.create_database("one", owner="owner")
    server.execute("one", "CREATE TABLE t AS SELECT 7 AS i")
    assert server.create_database("two", template="one")
    assert server.execute("two", "SELECT i FROM t") == [(7,)]
    owners = server.execute("postgres", "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'one'")
    assert owners == [("owner",)]
    with psycopg.connect(server.dsn("two")):
        server.drop_database("two")
    server.drop_database("two")
    assert server.create_database("two")


def test_what_was_committed_survives_kill_9_again_and_again(server: Postgres) -> None:
    server.create_database("kept")
    server.execute("kept", "CREATE TABLE t (i int)")
    port = server.port
    for number in range(3):
        server.execute("kept", "INSERT INTO t VALUES (%s)", [number])
        before = server.pid
        server.kill()
        assert not server.running
        server.start()
        assert (server.port, server.pid != before) == (port, True)
    assert server.execute("kept", "SELECT i FROM t ORDER BY 1") == [(0,), (1,), (2,)]


def test_a_stale_pid_file_of_another_living_process_is_no_obstacle(server: Postgres) -> None:
    server.kill()
    pid_file = server.cluster / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert not server.running
    server.start()
    assert server.execute("postgres", "SELECT 1") == [(1,)]


def test_a_second_object_adopts_the_running_server(server: Postgres) -> None:
    other = Postgres(server.data_dir)
    other.start()
    assert (other.port, other.pid) == (server.port, server.pid)


def test_a_server_elsewhere_is_not_taken_for_ours(server: Postgres, folder: Path) -> None:
    with pytest.raises(PostgresFailed):
        Postgres(folder / "other", port=server.port).start()
    impostor = Postgres(folder / "other")
    impostor.start()
    try:
        impostor.port = server.port
        with pytest.raises(PostgresFailed, match="not answered by the server of"):
            impostor._check_it_is_ours()  # its password does not open the other server
        shutil.copy(server.data_dir / "superuser.password", impostor.data_dir / "superuser.password")
        with pytest.raises(PostgresFailed, match="answered by the server of"):
            impostor._check_it_is_ours()
    finally:
        impostor.stop()


def test_a_long_path_gets_a_short_socket(folder: Path) -> None:
    deep = folder / ("deep" * 20) / "pg"
    with Postgres(deep) as started:
        assert started.socket_dir != started.cluster
        with psycopg.connect(started.dsn("postgres", unix=True)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not started.socket_dir.exists()


def test_an_interrupted_first_start_leaves_no_half_cluster(folder: Path) -> None:
    (folder / "pg" / "cluster.new").mkdir(parents=True)
    (folder / "pg" / "cluster.new" / "PG_VERSION").write_text("16\n")
    with Postgres(folder / "pg") as started:
        assert started.execute("postgres", "SELECT 1") == [(1,)]
        assert not (folder / "pg" / "cluster.new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="already not root: every other test here shows it")
def test_it_works_as_an_ordinary_user_too(folder: Path) -> None:
    """The same as another user: modules are imported as root first, which may be the only one to read them."""
    folder.chmod(0o777)
    script = textwrap.dedent(f"""
        import os, pathlib, encodings.idna, psycopg
        from finbridge.cli.stack.postgres import Postgres
        os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
        with Postgres(pathlib.Path({str(folder)!r}) / "pg") as server:
            server.kill()
            server.start()
            print(os.geteuid(), server.execute("postgres", "SELECT 'up'")[0][0])
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, text=True)
    assert done.stdout.split() == [str(NOBODY), "up"], done.stderr


def test_free_ports_are_free() -> None:
    assert free_port() != 0
