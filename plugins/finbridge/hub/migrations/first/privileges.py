"""What the suite (`hub_app`) may do: it adds evidence and never changes it; nothing is granted by default."""

from __future__ import annotations

#: Evidence: rows are added and never changed.
APPEND_ONLY = (
    "inbox",
    "document_version",
    "document_line",
    "trail",
    "code_history",
    "quality_run",
    "quality_result",
    "write_back",
)
CHANGEABLE = (
    "document",
    "source_event",
    "watermark",
    "collect_lease",
    "voucher_group",
    "voucher",
    "attempt",
    "hold",
    "run",
    "code_table",
    "company_setting",
    "flow_setting",
)
#: Lines of a voucher that was never sent are replaced; tokens and personal data can be forgotten.
DELETABLE = ("voucher_line", "source_line", "token", "document_personal")

STATEMENTS = (
    "REVOKE ALL ON SCHEMA hub FROM PUBLIC",
    "GRANT USAGE ON SCHEMA hub TO hub_app",
    *(f"GRANT SELECT, INSERT ON hub.{table} TO hub_app" for table in APPEND_ONLY),
    *(f"GRANT SELECT, INSERT, UPDATE ON hub.{table} TO hub_app" for table in CHANGEABLE),
    *(f"GRANT SELECT, INSERT, UPDATE, DELETE ON hub.{table} TO hub_app" for table in DELETABLE),
    "GRANT USAGE ON SEQUENCE hub.fence TO hub_app",
)
