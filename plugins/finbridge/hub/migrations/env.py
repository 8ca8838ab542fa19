"""Run by Alembic: brings one connection, given in the configuration's attributes, to the wanted revision."""

from __future__ import annotations

from alembic import context

SCHEMA = "hub"

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table="revision", version_table_schema=SCHEMA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
