"""The two pages that are made of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from include.catalogue.model import Catalogue, Hazard, HazardChapter, Item, ItemChapter

NOT_YET = "not yet"
NOTE = "<!-- Made by `python -m include.catalogue --write` from include/catalogue/*.yaml; change those. -->"

RUNBOOK = """# The runbook, line by line

Every line of the operational procedures that asks for something: which task does it, the evidence that it leaves in
`ops.evidence`, and the test that shows it. A `+` marks what the procedures imply and do not write. `make items` counts
the lines that have all of it and fails when one names a task, an evidence or a test that does not exist.
"""

HAZARDS = """# Hazards

What following the procedures' commands to the letter would do (BUG), and what Airflow itself would let happen (AF),
what we do instead, and the tests that prove it. `make items` counts the hazards that have a test.
"""


def pages(catalogue: Catalogue) -> dict[str, str]:
    """Return each page's text by its path from the project's root."""
    return {
        "docs/runbook.md": _page(RUNBOOK, map(_item_chapter, catalogue.items)),
        "docs/hazards.md": _page(HAZARDS, map(_hazard_chapter, catalogue.hazards)),
    }


def _page(head: str, chapters: Iterable[str]) -> str:
    return "\n".join((NOTE, "", head, *chapters))


def _item_chapter(chapter: ItemChapter) -> str:
    heads = ("Item", "What it asks", "Done by", "Evidence", "Shown by")
    return _table(chapter.chapter, heads, map(_item_row, chapter.items))


def _item_row(item: Item) -> tuple[str, ...]:
    if not (item.dag or item.test):
        return item.id, item.what, NOT_YET, "", ""
    done_by = f"{_code(item.dag)} {_code(item.task)}"
    return item.id, item.what, done_by, _code(item.evidence), _test(item.test) if item.test else NOT_YET


def _hazard_chapter(chapter: HazardChapter) -> str:
    heads = ("Hazard", "What would happen", "What we do instead", "Shown by")
    return _table(chapter.chapter, heads, map(_hazard_row, chapter.hazards))


def _hazard_row(hazard: Hazard) -> tuple[str, ...]:
    return hazard.id, hazard.harm, hazard.instead, "<br>".join(map(_test, hazard.tests)) or NOT_YET


def _code(name: str | None) -> str:
    return f"`{name}`" if name else NOT_YET


def _test(node: str) -> str:
    path, _, name = node.partition("::")
    return f"[{name}]({PurePosixPath('..') / path})"


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join((f"## {title}", "", *map(_line, (heads, ("---",) * len(heads), *rows)), ""))


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(_escaped(cells))} |"


def _escaped(cells: tuple[str, ...]) -> Iterator[str]:
    return (cell.replace("|", "\\|") for cell in cells)
