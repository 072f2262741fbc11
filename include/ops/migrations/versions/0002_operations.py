"""Leases, the stop order, the journal, plans and approvals: what operations that change production are held by."""

from __future__ import annotations

from include.ops.migrations.run import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables, the only functions that write to them, and the rights."""
    run_sql("0002_operations.sql")


def downgrade() -> None:
    """Refuse: an operation that runs is held by what would be removed."""
    raise NotImplementedError("operations are never forgotten; restore the ops database from its backup instead")
