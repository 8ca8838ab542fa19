"""The OA stand-in's authentication: contracts/oa-systems section 1.1 by plain HTTP."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.contract.sandbox_wire_kit import Oa, Server, control, encrypt, public_key, session


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server("sandbox.weaver", Path(tmp_path_factory.mktemp("oa")))
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
async def oa(server: Server) -> AsyncIterator[Oa]:
    async with session() as http:
        yield await Oa(server, http).ready()


async def refusal(oa: Oa, **headers: str) -> dict[str, object]:
    """The body that a business call with other headers gets."""
    url = f"{oa.server.base}/api/hrm/login/getAccountList"
    async with oa.http.get(url, headers=oa.headers("900") | headers) as answer:
        assert answer.status == 200
        body: dict[str, object] = await answer.json()
    return body


async def account(oa: Oa, user: str, **headers: str) -> str:
    url = f"{oa.server.base}/api/hrm/login/getAccountList"
    async with oa.http.get(url, headers=oa.headers(user) | headers) as answer:
        body = await answer.json()
    assert body["status"] == "1"
    return str(body["data"]["userid"])


async def test_regist_gives_secret_twice_and_a_bare_key(oa: Oa) -> None:
    reply = await oa.register()
    assert reply["status"] is True
    assert (reply["code"], reply["errcode"], reply["msgShowType"]) == ("0", "0", "none")
    assert reply["secret"] == reply["secrit"] != ""
    assert "-----" not in reply["spk"]
    assert public_key(reply["spk"]).key_size == 2048


async def test_regist_wants_a_known_app_and_a_client_key(oa: Oa) -> None:
    assert (await oa.auth_call("regist", appid="nobody", cpk="123"))["status"] is False
    assert (await oa.auth_call("regist", appid="finbridge"))["status"] is False


async def test_a_second_regist_kills_what_the_first_encrypted(oa: Oa) -> None:
    spk, secret, token = oa.spk, oa.secret, oa.token
    old_user, old_secret = encrypt(spk, "900"), encrypt(spk, secret)
    assert await account(oa, "900") == "900"
    await oa.register()
    assert oa.spk != spk
    assert oa.secret != secret
    body = await refusal(oa, userid=old_user, token=token)
    assert body["status"] is False
    assert "解密失败" in str(body["msg"])
    stale = await oa.auth_call("applytoken", appid="finbridge", secret=old_secret)
    assert stale == {"msg": "secret解密失败,请检查加密内容.", "code": -1, "msgShowType": "none", "status": False}


async def test_a_build_whose_regist_keeps_the_key(oa: Oa) -> None:
    await control(oa.server, "POST", "/options", {"regist_regenerates": False})
    try:
        before = await oa.register()
        assert await oa.register() == before
    finally:
        await control(oa.server, "POST", "/options", {"regist_regenerates": True})


async def test_each_app_has_a_key_pair_of_its_own(oa: Oa) -> None:
    people = await Oa(oa.server, oa.http, "employees").ready()
    await people.register()
    assert await account(oa, "900") == "900"
    assert people.spk != oa.spk


async def test_applytoken(oa: Oa) -> None:
    reply = await oa.log_in()
    assert {**reply, "token": ""} == {
        "msg": "获取成功!",
        "code": 0,
        "msgShowType": "none",
        "status": True,
        "token": "",
    }
    assert len(oa.token) == 36
    wrong = await oa.auth_call("applytoken", appid="finbridge", secret=encrypt(oa.spk, "another secret"))
    assert str(wrong["msg"]).startswith("认证信息错误")
    assert wrong["status"] is False


async def test_oaep_is_not_what_the_server_takes(oa: Oa) -> None:
    scheme = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    cipher = base64.b64encode(public_key(oa.spk).encrypt(oa.secret.encode(), scheme)).decode()
    reply = await oa.auth_call("applytoken", appid="finbridge", secret=cipher)
    assert "解密失败" in str(reply["msg"])


async def test_a_token_ends_after_its_time(oa: Oa) -> None:
    await oa.log_in(time="0")
    body = await refusal(oa)
    assert body == {"msg": f"token不存在或者超时：{oa.token}", "code": -1, "msgShowType": "none", "status": False}


async def test_epoch_milliseconds_as_time_are_a_huge_lifetime(oa: Oa) -> None:
    await oa.log_in(time=str(int(time.time() * 1000)))
    assert await account(oa, "900") == "900"


async def test_a_token_belongs_to_its_app(oa: Oa) -> None:
    people = await Oa(oa.server, oa.http, "employees").ready()
    body = await refusal(oa, token=people.token)
    assert "token不存在" in str(body["msg"])


@pytest.mark.parametrize("user", ["499", "31415", "E0001"])
async def test_a_locked_or_unknown_account_cannot_sign_on(oa: Oa, user: str) -> None:
    body = await refusal(oa, userid=encrypt(oa.spk, user))
    assert (body["msg"], body["code"], body["status"]) == ("该账号存在异常,单点登录失败", -1, False)


@pytest.mark.parametrize("cipher", ["", "900", "AAAA", base64.b64encode(b"x" * 256).decode()])
async def test_a_userid_that_is_no_ciphertext(oa: Oa, cipher: str) -> None:
    body = await refusal(oa, userid=cipher)
    assert "解密失败" in str(body["msg"])


async def test_padding_is_checked_strictly(oa: Oa) -> None:
    numbers = public_key(oa.spk).public_numbers()

    def cipher(block_type: int, filler: int) -> str:
        head = bytes([0, block_type]) + b"\x55" * filler + b"\x00" + b"900"
        block = (head + b"\x00" * 256)[:256] if filler < 250 else head
        return base64.b64encode(pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(256, "big")).decode()

    assert await account(oa, "7", userid=cipher(2, 250)) == "900"
    for wrong in (cipher(1, 250), cipher(2, 4)):
        assert "解密失败" in str((await refusal(oa, userid=wrong))["msg"])


async def test_a_cookie_sent_back_wins_over_the_userid(oa: Oa) -> None:
    url = f"{oa.server.base}/api/hrm/login/getAccountList"
    async with oa.http.get(url, headers=oa.headers("900")) as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert cookie.startswith("JSESSIONID=")
    assert await account(oa, "7", Cookie=cookie) == "900"
    await control(oa.server, "POST", "/options", {"jsessionid_trap": False})
    try:
        assert await account(oa, "7", Cookie=cookie) == "7"
    finally:
        await control(oa.server, "POST", "/options", {"jsessionid_trap": True})


async def test_tokens_that_a_node_does_not_know(oa: Oa) -> None:
    await control(oa.server, "POST", "/options", {"token_miss": 0.5})
    try:
        bodies = [await refusal(oa) for _ in range(40)]
    finally:
        await control(oa.server, "POST", "/options", {"token_miss": 0.0})
    missed = sum("token不存在" in str(body.get("msg")) for body in bodies)
    assert 0 < missed < 40


async def test_a_business_call_wants_post_or_get_as_documented(oa: Oa) -> None:
    async with oa.http.get(f"{oa.server.base}/api/workflow/paService/doCreateRequest") as answer:
        assert (answer.status, answer.content_type) == (405, "text/html")
    async with oa.http.get(f"{oa.server.base}/api/workflow/paService/getNothing") as answer:
        assert (answer.status, answer.content_type) == (404, "text/html")
