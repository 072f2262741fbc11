"""How a migration runs its SQL file."""

from __future__ import annotations

from pathlib import Path

from alembic import op

SQL = Path(__file__).parent / "sql"


def run_sql(name: str) -> None:
    """Run a file of statements as it stands, in the migration's transaction."""
    # Past SQLAlchemy, which would read the colons and percent signs of the file as parameters.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute((SQL / name).read_text())
