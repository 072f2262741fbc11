"""Steps of the ops database, run in order by alembic; each is a plain SQL file in `sql/`."""
