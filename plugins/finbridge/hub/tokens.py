"""Tokens and registrations shared between processes: encrypted at rest, one process at a time under a lock."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from finbridge.core.checkup import TokenFacts
from finbridge.core.errors import GiveUp
from finbridge.hub.connections import Connections

#: Bound to the purpose, not to the installation: the same secret opens the store after a restore elsewhere.
_SALT = b"finbridge.hub.token.v1"
_LOCK_WAIT_SECONDS = 60


class PostgresTokens:
    """`finbridge.core.ports.TokenStore` on the hub's database.

    A value that another secret encrypted counts as absent: the caller applies for a new one.
    """

    def __init__(self, connections: Connections, secret: str) -> None:
        self._connections = connections
        self._secret = secret

    @cached_property
    def _cipher(self) -> Fernet:
        if not self._secret:
            raise GiveUp(
                "secret_missing",
                "未设置密钥，不能保存令牌 / no secret is set: tokens are not stored unencrypted",
                "open_hub(dsn, secret=…) needs a secret before tokens are used",
            )
        key = Scrypt(salt=_SALT, length=32, n=2**14, r=8, p=1).derive(self._secret.encode())
        return Fernet(base64.urlsafe_b64encode(key))

    def get(self, name: str) -> str | None:
        """The value, or None where absent, expired by the database's clock, or encrypted with another secret."""
        with self._connections.session() as connection:
            found = connection.execute(
                "SELECT value FROM hub.token WHERE name = %s AND (expires_at IS NULL OR expires_at > now())", [name]
            ).fetchone()
        if found is None:
            return None
        try:
            return self._cipher.decrypt(bytes(found[0])).decode()
        except InvalidToken:
            return None

    def put(self, name: str, value: str, expires_at: datetime | None) -> None:
        """Store or replace a value; ``expires_at`` is aware, None keeps it for ever.

        Raises:
            GiveUp: the hub was opened without a secret.
            ValueError: ``expires_at`` has no zone.
        """
        if expires_at is not None and expires_at.tzinfo is None:
            raise ValueError("expires_at needs a time zone")
        sealed = self._cipher.encrypt(value.encode())
        with self._connections.transaction() as cursor:
            cursor.execute(
                """
                INSERT INTO hub.token (name, value, expires_at) VALUES (%s, %b, %s)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at,
                                                 changed_at = now()
                """,
                [name, sealed, expires_at],
            )

    def facts(self, name: str) -> TokenFacts | None:
        """How old a token is and how long it lives; None where there is none. Its value is not read."""
        with self._connections.session() as connection:
            found = connection.execute(
                "SELECT extract(epoch FROM now() - changed_at)::float8, extract(epoch FROM expires_at - now())::float8 "
                "FROM hub.token WHERE name = %s",
                [name],
            ).fetchone()
        return None if found is None else TokenFacts(age_seconds=found[0], left_seconds=found[1])

    def clock(self) -> datetime:
        """The database's clock (UTC): tokens and leases end by it."""
        with self._connections.session() as connection:
            found = connection.execute("SELECT clock_timestamp()").fetchone()
        if found is None:
            raise AssertionError("SELECT without FROM gave no row")
        at: datetime = found[0]
        return at

    def forget_expired(self) -> int:
        """Take away what nobody would be given any more; how many."""
        with self._connections.transaction() as cursor:
            cursor.execute("DELETE FROM hub.token WHERE expires_at <= now()")
            return cursor.rowcount

    def forget(self, name: str) -> None:
        """Take a value away; a no-op where there is none."""
        with self._connections.transaction() as cursor:
            cursor.execute("DELETE FROM hub.token WHERE name = %s", [name])

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Mutual exclusion between processes; the lock goes with the process that dies or loses its connection.

        Raises:
            RetryLater: another process has held it for a minute, or the database is away.
        """
        with self._connections.session() as connection:
            connection.execute(f"SET lock_timeout = '{_LOCK_WAIT_SECONDS}s'")
            try:
                connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 1))", [f"finbridge token {name}"])
                try:
                    yield
                finally:
                    if not connection.closed:
                        connection.execute(
                            "SELECT pg_advisory_unlock(hashtextextended(%s, 1))", [f"finbridge token {name}"]
                        )
            finally:
                if not connection.closed:
                    connection.execute("RESET lock_timeout")
