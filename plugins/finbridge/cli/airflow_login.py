"""Who sits at the keyboard: Airflow says it, by name and password, at its own API.

``POST /auth/token`` (the auth managers of Airflow 3: SimpleAuthManager and FAB have the same route) takes the password
and gives a token; ``GET /ui/auth/me`` says whose it is; ``GET /api/v2/dags/{dag_id}`` says whether they may read the
flow. The password goes nowhere else, is no argument of a command, and the token is forgotten with the process.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import typer

from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.people import is_system, person, same_person
from finbridge.core.transport import HttpClient, Response

URL, USER, PASSWORD = "FINBRIDGE_AIRFLOW_URL", "FINBRIDGE_USER", "FINBRIDGE_PASSWORD"
_DEFAULT_URL = "http://localhost:8080"
_SECONDS = 30.0
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class _Login:
    url: str
    user: str
    password: str = field(repr=False)


def verified_reader(flow_id: str) -> str:
    """The name of a person who may read the flow's DAG in Airflow, as Airflow has it.

    Raises:
        GiveUp: wrong name or password, no right to read the flow, a name that is refused, or no Airflow there.
    """
    login = _asked()
    try:
        name = asyncio.run(_verify(login, f"{flow_id}__wake"))
    except RetryLater as error:
        raise GiveUp(
            "airflow_away",
            f"Airflow 无应答，请检查 {URL} / Airflow does not answer at {login.url}: check {URL}",
            str(error),
        ) from None
    found = person(name)
    if is_system(found) or same_person(found, "anonymous"):
        raise GiveUp("nobody_in_person", f"该账号不代表某个人 / {found} is no person: log in under your own name")
    return found


def verified_checker(flow_id: str, checkers: Collection[str]) -> str:
    """As `verified_reader`, for one who stands in the flow's list of checkers.

    Raises:
        GiveUp: as `verified_reader`; or the flow names no checkers, or others.
    """
    if not checkers:
        raise GiveUp(
            "no_checkers",
            f"流程 {flow_id} 未配置复核人，请在流程文件中填写 codes.checkers / flow {flow_id} names nobody who may "
            "approve code tables: add `codes: {checkers: [name]}` to its file in include/flows",
        )
    name = verified_reader(flow_id)
    if name.casefold() not in {person(checker).casefold() for checker in checkers}:
        raise GiveUp(
            "not_a_checker",
            f"{name} 不是流程 {flow_id} 的复核人 / {name} is none of those who may approve code tables of {flow_id} "
            "(codes.checkers in its file in include/flows)",
        )
    return name


def verified_decider(flow_id: str, people: Collection[str]) -> str:
    """As `verified_reader`, for one who stands in the flow's list of those who may decide.

    Raises:
        GiveUp: as `verified_reader`; or the flow names nobody, or others.
    """
    if not people:
        raise GiveUp(
            "no_deciders",
            f"流程 {flow_id} 未指定决定人，请在流程文件中填写 decisions.people / flow {flow_id} names nobody who may "
            "decide: add `decisions: {people: [name]}` to its file in include/flows",
        )
    name = verified_reader(flow_id)
    if name.casefold() not in {person(one).casefold() for one in people}:
        raise GiveUp(
            "not_a_decider",
            f"{name} 无权决定流程 {flow_id} 的凭证 / {name} is none of those who may decide in {flow_id} "
            "(decisions.people in its file in include/flows)",
        )
    return name


def _asked() -> _Login:
    """Address from the environment; name and password from there, or typed."""
    url = (os.environ.get(URL) or os.environ.get("AIRFLOW__API__BASE_URL") or _DEFAULT_URL).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise GiveUp("bad_airflow_url", f"{URL} 不正确 / {URL} is no address like https://airflow.example.com")
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        typer.echo(
            f"注意：密码将未加密传输 / the password travels unencrypted to {parts.hostname}: use https", err=True
        )
    user, password = os.environ.get(USER, ""), os.environ.get(PASSWORD, "")
    if not (user and password) and not sys.stdin.isatty():
        raise GiveUp(
            "login_missing",
            f"请在终端中运行，或设置环境变量 {USER} 与 {PASSWORD} / nobody can be asked here: run this in a terminal, "
            f"or set {USER} and {PASSWORD}",
        )
    user = user or typer.prompt(f"Airflow 用户名 / user at {url}", err=True)
    return _Login(url, user, password or getpass.getpass(f"密码 / password of {user}: "))


async def _verify(login: _Login, dag_id: str) -> str:
    async with HttpClient(login.url, timeout_seconds=_SECONDS) as client:
        client.redactor.add(login.password)
        answer = await client.request(
            "POST", "/auth/token", json_body={"username": login.user, "password": login.password}
        )
        if answer.status in (400, 401, 403, 422):
            raise GiveUp("login_refused", "用户名或密码不正确 / Airflow does not know this name and password")
        token = _text(answer, 201, "access_token")
        client.redactor.add(token)
        headers = {"Authorization": f"Bearer {token}"}
        name = _text(await client.request("GET", "/ui/auth/me", headers=headers), 200, "username")
        dag = await client.request("GET", f"/api/v2/dags/{quote(dag_id, safe='')}", headers=headers)
        if dag.status in (401, 403, 404):
            raise GiveUp(
                "flow_not_readable",
                f"{name} 在 Airflow 中无权查看 {dag_id} / {name} may not read {dag_id} in Airflow, or it is not there",
            )
        if _text(dag, 200, "dag_id") != dag_id:
            raise _odd(dag)
        return name


def _text(answer: Response, status: int, key: str) -> str:
    """A text of a JSON object."""
    try:
        found = answer.json() if answer.status == status else None
    except ValueError:
        found = None
    value = found.get(key) if isinstance(found, dict) else None
    if not isinstance(value, str) or not value:
        raise _odd(answer)
    return value


def _odd(answer: Response) -> GiveUp:
    return GiveUp(
        "airflow_odd_answer",
        f"{URL} 的应答不是 Airflow 的（HTTP {answer.status}） / what answers at {URL} is not Airflow 3 "
        f"(HTTP {answer.status})",
    )
