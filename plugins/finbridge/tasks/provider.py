"""What Airflow learns about the suite as an installed provider: its connection types, with their forms.

Read by Airflow through the entry point ``apache_airflow_provider``; forms are data here, so that the UI shows them
without importing a hook.
"""

from __future__ import annotations

from typing import Any

_TLS = {
    "verify": {
        "label": "检查证书 / verify TLS",
        "description": "只在测试环境关闭 / false in test environments only",
        "schema": {"type": ["string", "null"], "enum": ["true", "false"], "default": "true"},
    },
    "timeout_seconds": {
        "label": "超时秒数 / time-out, seconds",
        "schema": {"type": ["number", "null"], "minimum": 1, "default": 30},
    },
}
_RATE = {
    "rate_per_second": {
        "label": "每秒调用数 / calls per second",
        "description": "该连接所有任务的上限 / what this connection may ask of the system",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
    },
    "rate_parallel": {
        "label": "并发调用数 / calls in flight",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
}


def get_provider_info() -> dict[str, Any]:
    """The provider's description, in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "finbridge",
        "name": "finbridge",
        "description": "Approved OA documents become posted vouchers.",
        "connection-types": [_weaver(), _tryton(), _journal()],
    }


def _weaver() -> dict[str, Any]:
    return {
        "connection-type": "weaver",
        "hook-class-name": "finbridge.systems.weaver.hook.WeaverHook",
        "hook-name": "Weaver e-cology 泛微",
        "ui-field-behaviour": {
            "hidden-fields": [],
            "relabeling": {
                "schema": "http / https",
                "login": "OA 用户编号 / OA user id of the integration account",
                "password": "secret（由 OA 管理员提供时 / only where the OA's administrators hand one out）",
            },
            "placeholders": {"host": "oa.example.com", "schema": "https", "login": "900"},
        },
        "conn-fields": {
            "appid": {
                "label": "appid",
                "description": "ECOLOGY_BIZ_EC 中登记的应用 / the application registered in ECOLOGY_BIZ_EC",
                "schema": {"type": ["string", "null"]},
            },
            "spk": {
                "label": "spk",
                "description": "由 OA 管理员提供的公钥 / public key, only together with a secret",
                "schema": {"type": ["string", "null"]},
            },
            "mode_systemid": {
                "label": "mode_systemid",
                "description": "建模接口的系统标识，写付款状态用 / system id of the form-mode interfaces",
                "schema": {"type": ["string", "null"]},
            },
            "mode_password": {
                "label": "mode_password",
                "description": "建模接口的密码 / its password",
                "schema": {"type": ["string", "null"], "format": "password"},
            },
            "time_zone": {
                "label": "OA 时区 / time zone of the OA's server",
                "schema": {"type": ["string", "null"], "default": "Asia/Shanghai"},
            },
            **_RATE,
            **_TLS,
        },
    }


def _tryton() -> dict[str, Any]:
    return {
        "connection-type": "tryton",
        "hook-class-name": "finbridge.systems.tryton.hook.TrytonHook",
        "hook-name": "Tryton",
        "ui-field-behaviour": {
            "hidden-fields": [],
            "relabeling": {"schema": "http / https"},
            "placeholders": {"host": "ledger.example.com", "schema": "https", "login": "finbridge"},
        },
        "conn-fields": {
            "database": {"label": "数据库 / database", "schema": {"type": ["string", "null"]}},
            **_RATE,
            **_TLS,
        },
    }


def _journal() -> dict[str, Any]:
    return {
        "connection-type": "journal",
        "hook-class-name": "finbridge.systems.journal.hook.JournalHook",
        "hook-name": "Journal 日记账",
        "ui-field-behaviour": {
            "hidden-fields": [],
            "relabeling": {"schema": "http / https"},
            "placeholders": {"host": "127.0.0.1", "schema": "http"},
        },
        "conn-fields": {**_RATE, **_TLS},
    }
