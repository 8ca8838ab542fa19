"""The hub's first tables.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from alembic import op

from finbridge.hub.migrations.first import collected, evidence, privileges, register, settings

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table of the first revision and give the suite its privileges."""
    for room in (collected, register, evidence, settings, privileges):
        for statement in room.STATEMENTS:
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """There is nothing before the first revision, and evidence is never dropped."""
    raise NotImplementedError("the first revision is not taken back: drop the database instead")
