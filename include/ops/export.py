"""The evidence for an auditor: a span of it as JSON Lines or CSV, and the word on the whole chain."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from include.errors import ConfigurationError
from include.masking import one_line
from include.ops.database import address

if TYPE_CHECKING:
    from psycopg import Connection

GENESIS = "0" * 64
"""What the first row names as the hash before it."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """The word on the chain.

    :param rows: how many rows hold, counted from the first.
    :param head: hash of the last of them; kept elsewhere, it proves later that no rows were cut off the end.
    :param broken_id: the first row that does not fit, or None.
    """

    rows: int
    head: str
    broken_id: int | None = None
    reason: str = ""


def verify_chain(connection: Connection) -> Verified:
    """Recompute every hash from what the columns say now; stops at the first row that does not fit."""
    rows, head = 0, GENESIS
    for seal in _seals(connection):
        if reason := _broken(rows, head, seal):
            return Verified(rows=rows, head=head, broken_id=seal.id, reason=reason)
        rows, head = rows + 1, seal.hash
    return Verified(rows=rows, head=head)


class _Seal(NamedTuple):
    id: int
    previous: str
    hash: str
    text: str


def _seals(connection: Connection) -> Iterator[_Seal]:
    # The text is built here and not by ops.sealed_text: whoever could change rows could change that function too.
    with connection.transaction(), connection.cursor("seals") as cursor:
        connection.execute("set local timezone = 'UTC'")
        cursor.execute(
            """
            select id, previous_hash, hash, jsonb_strip_nulls(to_jsonb(e) - 'hash')::text
            from ops.evidence as e order by id
            """
        )
        yield from map(_Seal._make, cursor)


def _broken(rows: int, head: str, seal: _Seal) -> str:
    if seal.id != rows + 1:
        return f"row {rows + 1} is missing before it"
    if seal.previous != head:
        return "it does not name the hash of the row before it"
    if hashlib.sha256(seal.text.encode()).hexdigest() != seal.hash:
        return "its content is not what was sealed"
    return ""


def rows_between(connection: Connection, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """Yield the rows recorded from `start` up to, without, `end`, in the order of the chain."""
    from psycopg.rows import dict_row

    with connection.transaction(), connection.cursor("rows", row_factory=dict_row) as cursor:
        cursor.execute(
            "select * from ops.evidence where recorded_at >= %s and recorded_at < %s order by id", [start, end]
        )
        yield from cursor


def write_json_lines(rows: Iterator[dict[str, Any]], out: TextIO) -> int:
    """Write one JSON object a line and return how many."""
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - the count is the answer
        out.write(f"{json.dumps(row, default=_plain, ensure_ascii=False)}\n")
    return count


def write_csv(rows: Iterator[dict[str, Any]], out: TextIO) -> int:
    """Write a table with a header and return how many rows; text that a spreadsheet would run is made inert."""
    count, writer = 0, None
    for count, row in enumerate(rows, 1):  # noqa: B007 - the count is the answer
        writer = writer or _headed(out, list(row))
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return count


WRITERS = {"jsonl": write_json_lines, "csv": write_csv}


def export(connection: Connection, *, start: datetime, end: datetime, form: str, out: TextIO) -> tuple[int, Verified]:
    """Write the span and verify the chain on one snapshot, so that both speak of the same rows."""
    from psycopg import IsolationLevel

    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        verified = verify_chain(connection)
        return WRITERS[form](rows_between(connection, start, end), out), verified


def main(arguments: Sequence[str] | None = None) -> int:
    """Export to standard output; 0 if the chain holds, 1 if it is broken, 2 if it could not be read."""
    options = _parser().parse_args(arguments)
    try:
        dsn = address("as a role that may read evidence")
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    import psycopg

    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            start, end = _day(options.start), _day(options.end + timedelta(days=1))
            count, verified = export(connection, start=start, end=end, form=options.form, out=sys.stdout)
    except psycopg.Error as error:
        sys.stderr.write(f"the ops database could not be read: {one_line(str(error), 300)}\n")
        return 2
    sys.stderr.write(f"{_word(count, verified)}\n")
    return 0 if verified.broken_id is None else 1


def _word(count: int, verified: Verified) -> str:
    if verified.broken_id is None:
        return f"{count} rows exported; the chain of {verified.rows} rows holds, its head is {verified.head}"
    return (
        f"{count} rows exported; THE CHAIN IS BROKEN at row {verified.broken_id}: {verified.reason}; "
        f"the {verified.rows} rows before it hold; compare with the last copy in the locked bucket"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.ops.evidence", description=__doc__)
    parser.add_argument(
        "--from", dest="start", type=date.fromisoformat, default=date(2000, 1, 1), help="first day, UTC"
    )
    parser.add_argument("--to", dest="end", type=date.fromisoformat, default=date(9998, 1, 1), help="last day, UTC")
    parser.add_argument("--format", dest="form", choices=sorted(WRITERS), default="jsonl")
    return parser


def _day(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _headed(out: TextIO, columns: list[str]) -> csv.DictWriter[str]:
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    return writer


def _cell(value: object) -> object:
    text = json.dumps(value, default=_plain) if isinstance(value, dict) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
