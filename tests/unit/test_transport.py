"""What a failed call proves, byte for byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.transport import HttpClient, NoAnswerError, NotSentError, RateBudget, TransportError, verification

from tests.unit.http_stub import HttpStub, Script, always, answer


async def failure(client: HttpClient, method: str = "POST") -> TransportError:
    """The error of one call that must fail."""
    with pytest.raises(TransportError) as caught:
        await client.request(method, "/pay", params={"accessToken": "canary-token"}, form={"secret": "canary-form"})
    error = caught.value
    assert isinstance(error, RetryLater)
    assert "canary" not in f"{error}{error!r}{error.staff}{error.engineer}{error.__context__!r}{error.__cause__!r}"
    await client.close()
    return error


# ---------------------------------------------------------------- provably not sent


async def test_refused_connection_was_not_sent() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        error = await failure(HttpClient(f"http://127.0.0.1:{bound.getsockname()[1]}"))
    assert isinstance(error, NotSentError)
    assert error.code == "connect_failed"


async def test_unknown_name_was_not_sent() -> None:
    error = await failure(HttpClient("http://no-such-host.invalid"))
    assert isinstance(error, NotSentError)
    assert error.code == "name_not_resolved"


async def test_tls_that_is_not_spoken_was_not_sent() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        error = await failure(HttpClient(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert isinstance(error, NotSentError)
    assert error.code == "tls_failed"


async def test_tls_handshake_that_never_ends_was_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await failure(HttpClient(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.3))
    assert isinstance(error, NotSentError)
    assert error.code == "connect_timed_out"


async def test_untrusted_certificate_was_not_sent(tmp_path: Path) -> None:
    async with HttpStub(always(answer()), tls=server_tls(tmp_path)) as stub:
        error = await failure(HttpClient(stub.url))
        assert isinstance(error, NotSentError)
        assert error.code == "tls_failed"
        assert stub.requests == []
        for verify in ("false", str(tmp_path / "server.pem")):
            async with HttpClient(stub.url, verify=verification({"verify": verify})) as trusting:
                assert (await trusting.request("POST", "/pay")).status == 200


def test_how_a_connection_wants_tls(tmp_path: Path) -> None:
    assert verification({}) is True
    assert verification({"verify": True}) is True
    assert verification({"verify": False}) is False
    with pytest.raises(GiveUp, match=r"missing\.pem"):
        verification({"verify": str(tmp_path / "missing.pem")})
    (tmp_path / "empty.pem").write_text("no certificate")
    with pytest.raises(GiveUp, match=r"empty\.pem"):
        verification({"verify": str(tmp_path / "empty.pem")})


def server_tls(folder: Path) -> ssl.SSLContext:
    """A self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


# ---------------------------------------------------------------- sent, no whole answer


@pytest.mark.parametrize(
    ("bytes_out", "close"),
    [
        (b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Le", True),
        (answer(b'{"ok":tr', length=100), True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", True),
        (b"220 mail ready, not HTTP\r\n\r\n", True),
        (answer(b"not gzip", "Content-Encoding: gzip"), False),
    ],
    ids=["nothing", "half a head", "short body", "missing chunks", "not http", "not gzip"],
)
async def test_answer_that_is_not_whole_is_no_answer(bytes_out: bytes, close: bool) -> None:
    async with HttpStub(always(bytes_out, close=close)) as stub:
        error = await failure(HttpClient(stub.url, timeout_seconds=5))
        assert isinstance(error, NoAnswerError)
        assert error.code == "connection_lost"
        assert len(stub.requests) == 1


@pytest.mark.parametrize("bytes_out", [b"", answer(b"{", length=2)], ids=["silence", "half a body"])
async def test_silence_is_no_answer_after_the_time_out(bytes_out: bytes) -> None:
    async with HttpStub(always(bytes_out)) as stub:
        error = await failure(HttpClient(stub.url, timeout_seconds=0.3))
        assert isinstance(error, NoAnswerError)
        assert error.code == "timed_out"
        assert len(stub.requests) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_kept_alive_connection_that_dies_is_no_answer_and_the_write_is_not_repeated(method: str) -> None:
    async with HttpStub(first_then_hang_up()) as stub:
        client = HttpClient(stub.url)
        assert (await client.request(method, "/first")).status == 200
        error = await failure(client, method)
        assert isinstance(error, NoAnswerError)
        assert len(stub.requests) == 2


async def test_read_on_a_dead_kept_alive_connection_is_repeated_unseen() -> None:
    async with HttpStub(first_then_hang_up()) as stub:
        async with HttpClient(stub.url) as client:
            await client.request("GET", "/first")
            assert (await client.request("GET", "/second")).status == 200
        assert len(stub.requests) == 3


def first_then_hang_up() -> Script:
    """Answers all requests but the second, on which it hangs up."""
    seen = 0

    async def script(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        if seen == 2:
            writer.close()
        else:
            writer.write(answer())

    return script


# ---------------------------------------------------------------- the ordinary way


async def test_form_is_utf8_and_cookies_and_redirects_are_not_followed() -> None:
    script = always(answer(b"[]", "Set-Cookie: JSESSIONID=x", "Location: /elsewhere", status="302 Found"))
    async with HttpStub(script) as stub, HttpClient(stub.url, headers={"X-Tenant": "t"}) as client:
        for _ in range(2):
            response = await client.request("POST", "/a/b", params={"q": "中 &"}, form={"name": "张三 &=+%", "e": ""})
            assert (response.status, response.headers["location"]) == (302, "/elsewhere")
        head, _, body = stub.requests[1].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /a/b?q=%E4%B8%AD+%26 HTTP/1.1")
        assert body == b"name=%E5%BC%A0%E4%B8%89+%26%3D%2B%25&e="
        assert b"Content-Type: application/x-www-form-urlencoded; charset=utf-8" in head
        assert b"X-Tenant: t" in head
        assert b"cookie" not in head.lower()
        assert (len(stub.requests), stub.connections) == (2, 1)


async def test_json_body_and_answer() -> None:
    async with HttpStub(always(answer('{"名":1.50}'.encode()))) as stub, HttpClient(stub.url) as client:
        response = await client.request("POST", "/", json_body={"k": "值"})
        assert response.json() == {"名": 1.5}
        assert stub.requests[0].endswith('{"k":"值"}'.encode())
        with pytest.raises(ValueError, match="not both"):
            await client.request("POST", "/", json_body={}, form={})


async def test_empty_post_has_length_zero_and_no_type() -> None:
    async with HttpStub(always(answer())) as stub, HttpClient(stub.url) as client:
        await client.request("POST", "/regist", headers={"appid": "a"})
        head = stub.requests[0].lower()
        assert b"content-length: 0" in head
        assert b"content-type" not in head


async def test_any_status_is_an_answer() -> None:
    async with HttpStub(always(answer(b"<html>", status="503 Busy"))) as stub, HttpClient(stub.url) as client:
        response = await client.request("GET", "/")
        assert (response.status, response.body) == (503, b"<html>")
        with pytest.raises(ValueError):
            response.json()
        assert "html" not in repr(response)


async def test_servers_clock_and_retry_after() -> None:
    date, later = "Date: Sun, 22 Nov 2026 01:00:00 GMT", "Sun, 22 Nov 2026 01:00:30 GMT"
    for header, seconds in [("7", 7.0), (later, 30.0), ("soon", None), ("Sun, 22 Nov 2026 00:00:00 GMT", 0.0)]:
        async with (
            HttpStub(always(answer(b"", date, f"Retry-After: {header}"))) as stub,
            HttpClient(stub.url) as client,
        ):
            response = await client.request("GET", "/")
            assert response.date == datetime(2026, 11, 22, 1, tzinfo=UTC)
            assert response.retry_after_seconds == seconds
    async with HttpStub(always(answer(b"", "Date: today"))) as stub, HttpClient(stub.url) as client:
        response = await client.request("GET", "/")
        assert (response.date, response.retry_after_seconds) == (None, None)


async def test_parallel_calls_stay_inside_the_budget() -> None:
    turn = asyncio.Event()

    async def script(_: bytes, writer: asyncio.StreamWriter) -> None:
        if stub.in_flight == 3:
            turn.set()
        await turn.wait()
        writer.write(answer())

    stub = HttpStub(script)
    async with stub, HttpClient(stub.url, rate=RateBudget(10_000, burst=100, parallel=3)) as client:
        await asyncio.gather(*(client.request("GET", "/") for _ in range(12)))
        assert stub.max_in_flight == 3


def test_client_made_outside_serves_one_loop_at_a_time() -> None:
    async def ask(client: HttpClient, url: str) -> int:
        client.base_url = url
        return (await client.request("GET", "/")).status

    async def first(client: HttpClient, *, close: bool) -> int:
        async with HttpStub(always(answer())) as stub:
            status = await ask(client, stub.url)
            if close:
                await client.close()
            return status

    client = HttpClient("http://127.0.0.1:1")
    assert asyncio.run(first(client, close=True)) == 200
    assert asyncio.run(first(client, close=False)) == 200
    with pytest.raises(RuntimeError, match="one event loop"):
        asyncio.run(first(client, close=True))
