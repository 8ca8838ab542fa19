"""Tamper evidence: changes are noted, rows are sealed in a chain. Only adds: runs in flight go on meanwhile.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

from finbridge.hub.migrations.audit import changes, marks, seals

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns, tables and triggers, take what is there as found, and give the suite its privileges."""
    for room in (marks, seals, changes):
        for statement in (*room.STATEMENTS, *grants(room.APPEND_ONLY)):
            op.get_bind().exec_driver_sql(statement)


def grants(append_only: tuple[str, ...]) -> list[str]:
    """What the suite may do with each table; nothing is granted by default."""
    return [f"GRANT SELECT, INSERT ON hub.{table} TO hub_app" for table in append_only]


def downgrade() -> None:
    """Evidence is never dropped."""
    raise NotImplementedError("the third revision is not taken back: restore the database instead")
