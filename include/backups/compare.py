"""Is what was restored what was backed up? Pure: one sentence for each difference, with names and numbers and no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from include.backups.fingerprint import Contents

SHOWN = 3


def differences(wanted: Contents, found: Contents) -> list[str]:
    """Return every difference; none means that the two are equal."""
    return [
        *_tables(wanted, found),
        *_sequences(wanted, found),
        *_inventory(wanted.inventory, found.inventory),
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


def _inventory(wanted: Mapping[str, Mapping[str, str]], found: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for kind in wanted.keys() | found.keys():
        here, there = wanted.get(kind, {}), found.get(kind, {})
        yield from _missing(kind, here, there)
        for name in here.keys() & there.keys():
            if here[name] != there[name]:
                yield f"{kind} {name} is defined otherwise"


def _large_objects(wanted: Contents, found: Contents) -> Iterator[str]:
    (objects, pages, hash_), (objects_found, pages_found, hash_found) = wanted.large_objects, found.large_objects
    if (objects, pages) != (objects_found, pages_found):
        yield f"{objects_found} large objects of {pages_found} pages instead of {objects} of {pages}"
    elif hash_ != hash_found:
        yield f"{objects} large objects, and not all are the same"


def _missing(kind: str, wanted: Mapping[str, object], found: Mapping[str, object]) -> Iterator[str]:
    yield from (f"{kind} {name} is missing" for name in wanted.keys() - found.keys())
    yield from (f"{kind} {name} was not there" for name in found.keys() - wanted.keys())


def told(sentences: Sequence[str]) -> str:
    """Return the first few of them, and how many more there are."""
    first = "; ".join(sorted(sentences)[:SHOWN])
    return f"{first} (and {len(sentences) - SHOWN} more)" if len(sentences) > SHOWN else first
