"""What is in a database, so that two can be compared: rows and a hash of every table, the schema, sequences, extensions, roles.

The hash of a table is a sum over its rows, each hashed column by column (by name) and once more as a whole: it does not depend on the
order of rows or columns, one changed bit in one row changes it, and so does a value that moves from one row to another. Whoever
changes how it is computed raises `manifest.FORMAT`, since older fingerprints would all differ.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from include.backups.manifest import Facts, Record
from include.backups.source import Table, batches, one, rows
from include.errors import TransientError, VerificationError

if TYPE_CHECKING:
    from include.backups.login import Session

IN_FLUX = "in flux"
DROPPED = "dropped"
"""Attribute of a role that was dropped while the backup was taken: its globals may lack it, and its grants may name it."""
GONE = ""
"""The name of what the snapshot has and nobody can describe any more, since it was dropped."""
LARGE_BYTES = 64 << 20
BATCH = 200
"""Small tables whose statements are sent without waiting for each other."""

Moved = Callable[[int], None]
Inventory = Mapping[str, Mapping[str, str]]
"""By kind and identity: the hash of a definition, or IN_FLUX."""


class Contents(Record):
    """Of one database at one moment.

    :param tables: by quoted name: number of rows, and their hash; a partitioned table stands for its partitions.
    :param sequences: by quoted name: the lowest and the highest that `last_value` may be. No snapshot holds a sequence still.
    :param inventory: by kind and identity: hash of the definition, or IN_FLUX. No snapshot holds a definition still: tables are
        locked, but a function can be replaced while others read.
    :param large_objects: their number, their bytes together, and the hash of what is in them.
    """

    tables: Mapping[str, tuple[int, str]]
    sequences: Mapping[str, tuple[int, int]]
    inventory: Inventory
    large_objects: tuple[int, int, str]

    @property
    def rows(self) -> int:
        """Of all tables together."""
        return sum(count for count, _ in self.tables.values())


class Loose(NamedTuple):
    """What no snapshot holds still: how far each sequence is, and the hash of every definition."""

    sequences: Mapping[str, int]
    inventory: Inventory


class Fingerprint(Record):
    """What a backup must restore to; sealed like the dump, since names and hashes tell something of the rows.

    :param facts: the same as in the manifest.
    :param database: encoding, locale, owner, settings and grants of the database itself.
    :param roles: of the server, by name, without passwords.
    """

    facts: Facts
    contents: Contents
    extensions: Mapping[str, str]
    database: Mapping[str, Any]
    roles: Mapping[str, Mapping[str, Any]]


def render(fingerprint: Fingerprint) -> bytes:
    """Return the bytes to seal."""
    return gzip.compress(fingerprint.model_dump_json().encode(), compresslevel=1, mtime=0)


def read(data: bytes) -> Fingerprint:
    """Return the fingerprint; VerificationError if these are not its bytes."""
    try:
        return Fingerprint.model_validate_json(gzip.decompress(data))
    except (ValidationError, ValueError, OSError, EOFError):
        raise VerificationError("the fingerprint is not one of ours") from None


def loose(session: Session, before: Inventory | None = None) -> Loose:
    """Look at what no snapshot holds still: before anybody else begins to read the same moment, and after the last one ended.

    :param before: the inventory before the moment was taken. A snapshot holds the text of a function still, which `pg_dump` writes,
        and the server defines to us the newest one: what changed in between we never saw as the dump has it. TransientError if
        something was dropped in between: a dump would have its text without its name.
    """
    seen = inventory(session)
    if before is None:
        return Loose(sequences=last_values(session), inventory=seen)
    # Of what only a comment tells us the snapshot knows everything, so a dump of it is whole.
    if gone := sorted(kind for kind, things in seen.items() if GONE in things and kind != "comment"):
        raise TransientError(
            f"something was dropped just when the backup began ({gone[0]}), and a dump of it could not be restored: nothing was read;"
            " take another one"
        )
    return Loose(sequences=last_values(session), inventory=agreed(before, seen))


def contents(
    session: Session, tables: Sequence[Table], moved: Moved = lambda _: None, first: Loose | None = None
) -> Contents:
    """Read all of a database in a session that was settled.

    :param moved: hears of every byte that was read.
    :param first: what was loose before another began to read beside us; None if nobody did.
    """
    sequences, definitions = first or loose(session)
    return Contents(
        tables=_added_up(_tables(session, [table for table in tables if table.has_rows], moved)),
        sequences={name: (value, value) for name, value in sequences.items()},
        inventory=definitions,
        large_objects=large_objects(session),
    )


def until_now(earlier: Contents, session: Session) -> Contents:
    """Return the contents with what moved since they were first read: the room of sequences, and definitions in flux."""
    later = loose(session)
    room = {name: (low, later.sequences.get(name, high)) for name, (low, high) in earlier.sequences.items()}
    return earlier.model_copy(
        update={
            "sequences": {name: (min(ends), max(ends)) for name, ends in room.items()},
            "inventory": steady(earlier.inventory, later.inventory),
        }
    )


def steady(earlier: Inventory, later: Inventory) -> dict[str, dict[str, str]]:
    """Return the earlier inventory, with IN_FLUX for every definition that is another now."""
    return {
        kind: {name: hash_ if later.get(kind, {}).get(name) == hash_ else IN_FLUX for name, hash_ in things.items()}
        for kind, things in earlier.items()
    }


def agreed(one: Inventory, other: Inventory) -> dict[str, dict[str, str]]:
    """Return everything that one of two inventories has, IN_FLUX unless both define it so."""
    return {kind: _agreed(one.get(kind, {}), other.get(kind, {})) for kind in one.keys() | other.keys()}


def _agreed(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    return {name: hash_ if one.get(name) == other.get(name) else IN_FLUX for name, hash_ in {**one, **other}.items()}


def in_flux(contents: Contents) -> list[str]:
    """Return what changed its definition while it was read, and is therefore not compared."""
    return [
        f"{kind} {name}"
        for kind, things in contents.inventory.items()
        for name, hash_ in things.items()
        if hash_ == IN_FLUX
    ]


def _added_up(parts: Iterable[tuple[str, tuple[int, str]]]) -> dict[str, tuple[int, str]]:
    """Put the partitions of a table together, which their hashes allow."""
    whole: dict[str, tuple[int, str]] = {}
    for name, (count, total) in parts:
        count_before, total_before = whole.get(name, (0, "0"))
        whole[name] = (count_before + count, str(int(total_before) + int(total)))
    return whole


def _tables(session: Session, tables: Sequence[Table], moved: Moved) -> Iterator[tuple[str, tuple[int, str]]]:
    for batch in _batched(tables):
        for table, (count, total) in zip(batch, _together(session, [table.hashing for table in batch]), strict=True):
            yield table.root, (int(count), total)
        moved(sum(table.bytes for table in batch))


def _batched(tables: Sequence[Table]) -> Iterator[Sequence[Table]]:
    """Small tables together, each large one alone, so that it shows how far we are."""
    yield from batches([table for table in tables if table.bytes < LARGE_BYTES], BATCH)
    yield from ([table] for table in tables if table.bytes >= LARGE_BYTES)


def _together(session: Session, statements: Sequence[str]) -> list[tuple[Any, ...]]:
    """Send the statements without waiting for each other, and give back the locks on indexes that planning them took."""
    with session.pipeline():
        session.execute("savepoint fingerprint")
        cursors = [session.execute(text.encode()) for text in statements]  # the server quoted every name in them
        found = [cursor.fetchall()[0] for cursor in cursors]
        session.execute("rollback to savepoint fingerprint")
    return found


def last_values(session: Session) -> dict[str, int]:
    """Return how far each sequence is: twice its last value, and one more if that was handed out.

    TransientError if one of the snapshot's is gone by now, so that nobody knows how far the dump saw it.
    """
    from psycopg import errors

    found: dict[str, int] = {}
    for batch in batches(rows(session, "backup_sequences"), BATCH):
        try:
            values = _together(session, [row["asking"] for row in batch])
        except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
            raise TransientError(
                f"a sequence was dropped or renamed while the database was read ({error.diag.message_primary}): this backup was"
                " given up and does not count; take another one"
            ) from None
        found |= {row["name"]: int(value) for row, (value,) in zip(batch, values, strict=True)}
    return found


def inventory(session: Session) -> dict[str, dict[str, str]]:
    """Return the hash of every object's definition by kind and identity."""
    found: dict[str, dict[str, str]] = {}
    for row in rows(session, "backup_inventory"):
        found.setdefault(row["kind"], {})[row["name"] or GONE] = row["hash"] or ""
    return found


def large_objects(session: Session) -> tuple[int, int, str]:
    """Return number and bytes of all large objects, and the hash of what is in them."""
    row = one(session, "backup_large_objects")
    return row["objects"], row["bytes"], row["hash"]


def extensions(session: Session) -> dict[str, str]:
    """Return the version of each extension."""
    return {row["name"]: row["version"] for row in rows(session, "backup_extensions")}


def still(roles: Mapping[str, Mapping[str, Any]], now: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Return the roles, those that are no more as DROPPED."""
    return {name: of if name in now else {**of, DROPPED: True} for name, of in roles.items()}


def roles(session: Session) -> dict[str, dict[str, Any]]:
    """Return what each role of the server is."""
    return {row["name"]: row["attributes"] for row in rows(session, "backup_roles")}
