"""SQL texts, one statement a file."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString


@cache
def statement(name: str) -> LiteralString:
    """Return the statement `postgres/<name>.sql`; ours, so psycopg may take it as a literal."""
    return files(__name__).joinpath("postgres", f"{name}.sql").read_text(encoding="utf-8")
