"""What alembic runs: the missing steps in one transaction, one process at a time."""

from __future__ import annotations

from alembic import context

SCHEMA = "fashioncrop"
_LOCK = 0x666173686E  # any number that others of this database hardly use

_connection = context.config.attributes["connection"]
context.configure(connection=_connection, version_table="version", version_table_schema=SCHEMA)
with context.begin_transaction():
    _connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    _connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    context.run_migrations()
