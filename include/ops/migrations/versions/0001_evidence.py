"""The append-only table of evidence."""

from __future__ import annotations

from include.ops.migrations.run import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table, the only function that writes to it, and the rights."""
    run_sql("0001_evidence.sql")


def downgrade() -> None:
    """Refuse: evidence is never taken back."""
    raise NotImplementedError("evidence is never taken back; restore the ops database from its backup instead")
