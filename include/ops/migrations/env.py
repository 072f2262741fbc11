"""What alembic runs: all missing migrations in one transaction, on the connection that `include.ops.migrate` holds."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table_schema="ops")
context.run_migrations()
