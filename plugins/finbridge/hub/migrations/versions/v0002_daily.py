"""Daily use: months, manual runs, proposals for code tables, alarms. Only adds: runs in flight go on meanwhile.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

from finbridge.hub.migrations.daily import lookups, months, people, reading

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and give the suite its privileges on them."""
    for room in (months, people, lookups, reading):
        for statement in (*room.STATEMENTS, *grants(room.APPEND_ONLY, room.CHANGEABLE, room.DELETABLE)):
            op.get_bind().exec_driver_sql(statement)


def grants(append_only: tuple[str, ...], changeable: tuple[str, ...], deletable: tuple[str, ...]) -> list[str]:
    """What the suite may do with each table; nothing is granted by default."""
    rights = {"SELECT, INSERT": append_only, "SELECT, INSERT, UPDATE": changeable}
    rights |= {"SELECT, INSERT, UPDATE, DELETE": deletable}
    return [f"GRANT {right} ON hub.{table} TO hub_app" for right, tables in rights.items() for table in tables]


def downgrade() -> None:
    """Evidence is never dropped."""
    raise NotImplementedError("the second revision is not taken back: restore the database instead")
