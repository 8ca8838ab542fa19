"""Where the pages show: the entry in Airflow's own navigation, and the menu inside the pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

PREFIX = "/finbridge"
#: The menu inside the pages: a page's template without its suffix, and its path. The words: catalogue, ``frame.menu``.
MENU = (
    ("today", "/today"),
    ("find", "/find"),
    ("held", "/held"),
    ("quality", "/quality"),
    ("preview", "/preview"),
    ("month", "/month"),
)
#: Where Airflow's navigation leads.
FIRST_PAGE = "/today"
#: Airflow shows one fixed text to everybody, whatever their language.
NAME = "过账 Post"


def external_views() -> list[dict[str, Any]]:
    """The entry in Airflow's navigation and a tab on each run, both embedded in a frame of the UI."""
    from airflow.configuration import conf

    root = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/") + PREFIX
    return [
        {
            "name": NAME,
            "href": root + FIRST_PAGE,
            "icon": f"{root}/static/icon.svg",
            "icon_dark_mode": f"{root}/static/icon-dark.svg",
            "destination": "nav",
            "url_route": "finbridge",
            "nav_top_level": True,
        },
        {
            "name": NAME,
            "href": root + "/run/{DAG_ID}/{RUN_ID}",  # the UI fills in both, quoted
            "icon": f"{root}/static/icon.svg",
            "icon_dark_mode": f"{root}/static/icon-dark.svg",
            "destination": "dag_run",
            "url_route": "finbridge-run",
        },
    ]
