"""A page that people keep and sign: said once, shown as Markdown or as PDF (`include.reporting.pdf`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from include.masking import masked

Cells = Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Text:
    """One paragraph."""

    text: str
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """Sentences below each other."""

    items: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of equal columns; the first cell of a row names it."""

    head: Cells
    rows: Sequence[Cells]


@dataclass(frozen=True, kw_only=True)
class Signatures:
    """Room for names: each signs with name, date and hand."""

    roles: Cells


Block = Text | Bullets | Table | Signatures


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Document:
    """The whole of it.

    :param lines: what stands below the title: what, when, by whom.
    """

    title: str
    lines: Sequence[str]
    sections: Sequence[Section]


def markdown(document: Document) -> str:
    """Return it as Markdown; text that came from outside stays text, and holds no secret."""
    parts = [f"# {_plain(document.title)}", "\n".join(f"- {_plain(line)}" for line in document.lines)]
    for section in document.sections:
        parts += [f"## {_plain(section.title)}", *(_block(block) for block in section.blocks)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Text(text=text, strong=strong):
            return f"**{_plain(text)}**" if strong else _plain(text)
        case Bullets(items=items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case Table():
            return "\n".join(_table(block))
        case Signatures(roles=roles):
            return "\n".join(_table(Table(head=SIGNED, rows=[(role, "", "", "") for role in roles])))


SIGNED = ("Role", "Name", "Date", "Signature")


def _table(table: Table) -> Iterator[str]:
    rows = [[_plain(cell) for cell in row] for row in (table.head, *table.rows)]
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows]
    yield lines[0]
    yield f"| {' | '.join('-' * width for width in widths)} |"
    yield from lines[1:]


def _plain(text: str) -> str:
    """One line that means nothing to Markdown."""
    return re.sub(r"([\\`*<>|\[\]])", r"\\\1", clean(text))


def clean(text: str) -> str:
    """One line without secrets."""
    return " ".join(masked(text).split())
