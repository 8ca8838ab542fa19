"""Connection settings as plain data, so that clients and adapters know no Airflow. Secrets never show in a repr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """What an Airflow Connection holds. ``extra`` values are text or JSON scalars."""

    conn_id: str
    host: str
    port: int | None = None
    scheme: str = "http"
    login: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    extra: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def base_url(self) -> str:
        """``scheme://host[:port]`` without a trailing slash; never carries credentials."""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}"
