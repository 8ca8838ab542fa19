"""Looking documents up by any number that people know, and paging through what is held."""

from __future__ import annotations

STATEMENTS = (
    # `text_pattern_ops` serves equality and beginnings alike, whatever the database's locale.
    "CREATE INDEX document_business_number ON hub.document (business_number text_pattern_ops)",
    """
    CREATE INDEX voucher_finance_number ON hub.voucher (finance_number text_pattern_ops)
    WHERE finance_number IS NOT NULL
    """,
    "CREATE INDEX voucher_finance_id ON hub.voucher (finance_id) WHERE finance_id IS NOT NULL",
    # 记-2026-000123 is called "123" on the phone
    """
    CREATE INDEX voucher_finance_serial ON hub.voucher (ltrim(substring(finance_number from '[0-9]+$'), '0'))
    WHERE finance_number IS NOT NULL
    """,
    # A run is stored as <dag id>~<Airflow's run id>; people know the latter.
    "CREATE INDEX run_of_airflow ON hub.run (substring(run_id from '~(.*)$'))",
    "CREATE INDEX hold_listed ON hub.hold (opened_at, hold_id) WHERE closed_at IS NULL",
    "CREATE INDEX hold_document ON hub.hold (document_id, flow_id)",
)
APPEND_ONLY = ()
CHANGEABLE = ()
DELETABLE = ()
