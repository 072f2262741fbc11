"""Is what was restored what was backed up? Pure: one sentence for each difference, with names and numbers and no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from include.backups.fingerprint import IN_FLUX, Contents

SHOWN = 3
TEMPLATES = frozenset({"public"})
"""Schemas that every new database has, whether or not the original does: a dump does not drop them."""


def differences(wanted: Contents, found: Contents, without: Set[str] = frozenset()) -> list[str]:
    """Return every difference; none means that the two are equal.

    :param without: kinds of the inventory that do not count.
    """
    return [
        *_tables(wanted, found),
        *_sequences(wanted, found),
        *_inventory(wanted.inventory, found.inventory, without),
        *_large_objects(wanted, found),
    ]


def _tables(wanted: Contents, found: Contents) -> Iterator[str]:
    yield from _missing("table", wanted.tables, found.tables)
    for name in wanted.tables.keys() & found.tables.keys():
        (rows, hash_), (rows_found, hash_found) = wanted.tables[name], found.tables[name]
        if rows != rows_found:
            yield f"table {name} has {rows_found} rows instead of {rows}"
        elif hash_ != hash_found:
            yield f"table {name} has {rows} rows, and not all are the same"


def _sequences(wanted: Contents, found: Contents) -> Iterator[str]:
    yield from _missing("sequence", wanted.sequences, found.sequences)
    for name in wanted.sequences.keys() & found.sequences.keys():
        (low, high), (value, _) = wanted.sequences[name], found.sequences[name]
        if not low <= value <= high:
            yield f"sequence {name} is at {value // 2}, and was between {low // 2} and {high // 2}"


def _inventory(
    wanted: Mapping[str, Mapping[str, str]], found: Mapping[str, Mapping[str, str]], without: Set[str]
) -> Iterator[str]:
    owners = {f"{thing} to {role}" for thing, role in wanted.get("owner", {}).items()}
    for kind in (wanted.keys() | found.keys()) - without:
        here, there = (_without(side.get(kind, {}), owners if kind == "grants" else set()) for side in (wanted, found))
        expected = {name: hash_ for name, hash_ in here.items() if hash_ != IN_FLUX or name in there}
        yield from _missing(kind, expected, _without(there, TEMPLATES - here.keys() if kind == "schema" else set()))
        for name in here.keys() & there.keys():
            if here[name] not in {there[name], IN_FLUX}:
                yield f"{kind} {name} is defined otherwise"


def _without(things: Mapping[str, str], names: Set[str]) -> dict[str, str]:
    # Where an owner gave up a right of his, a restore without owners grants him the others.
    return {name: hash_ for name, hash_ in things.items() if name not in names}


def _large_objects(wanted: Contents, found: Contents) -> Iterator[str]:
    (objects, bytes_, hash_), (objects_found, bytes_found, hash_found) = wanted.large_objects, found.large_objects
    if (objects, bytes_) != (objects_found, bytes_found):
        yield f"{objects_found} large objects of {bytes_found} bytes instead of {objects} of {bytes_}"
    elif hash_ != hash_found:
        yield f"{objects} large objects, and not all are the same"


def _missing(kind: str, wanted: Mapping[str, object], found: Mapping[str, object]) -> Iterator[str]:
    yield from (f"{kind} {name} is missing" for name in wanted.keys() - found.keys())
    yield from (f"{kind} {name} was not there" for name in found.keys() - wanted.keys())


def told(sentences: Sequence[str]) -> str:
    """Return the first few of them, and how many more there are."""
    first = "; ".join(sorted(sentences)[:SHOWN])
    return f"{first} (and {len(sentences) - SHOWN} more)" if len(sentences) > SHOWN else first
