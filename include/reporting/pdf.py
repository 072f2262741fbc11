"""A document as PDF: A4, its fonts inside, each page numbered and marked with the seal of its text."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from include.reporting.document import SIGNED, Block, Bullets, Document, Signatures, Table, Text, clean

FONT, BOLD = "Vera", "VeraBd"
"""Of the library itself, so that a PDF looks the same wherever it is made; a letter that they lack shows as a question mark."""
MARGIN = 56.0
BOLDER = 1.3
"""How much wider a letter of a table's head is."""
PADDING = 6.0
"""Of the library's frame, inside the margins."""
ALONE = 110.0
"""Below it a section begins on the next page: a heading at the foot of one reads as if nothing came."""
INK, GREY, PALE = "#1b1f24", "#59636e", "#eef1f4"


def render(document: Document, *, seal: str) -> bytes:
    """Return the PDF; the same document gives the same bytes.

    :param seal: what stands at the foot of each page, by which paper and evidence are compared.
    """
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import SimpleDocTemplate

    _fonts()
    made = io.BytesIO()
    frame = SimpleDocTemplate(
        made,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=document.title,
        author="Runbooks of the AI orchestrator",
        invariant=1,
    )
    frame.build(list(_flow(document, frame.width - 2 * PADDING)), canvasmaker=_numbered(document.title, seal, A4[0]))
    return made.getvalue()


def _flow(document: Document, width: float) -> Iterator[Any]:
    from reportlab.platypus import CondPageBreak

    yield _paragraph(document.title, "title")
    yield from (_paragraph(line, "line") for line in document.lines)
    for section in document.sections:
        yield CondPageBreak(ALONE)
        yield _paragraph(section.title, "heading")
        yield from (_shown(block, width) for block in section.blocks)


def _shown(block: Block, width: float) -> Any:
    match block:
        case Text(text=text, strong=strong):
            return _paragraph(text, "strong" if strong else "text")
        case Bullets(items=items):
            return _bullets(items)
        case Table(head=head, rows=rows):
            return _grid([head, *rows], _widths(head, rows, width))
        case Signatures(roles=roles):
            rows = [(role, "", "", "") for role in roles]
            shares = (0.28, 0.27, 0.15, 0.3)
            return _grid([SIGNED, *rows], [width * share for share in shares], row_height=38)


def _bullets(items: Sequence[str]) -> Any:
    from reportlab.platypus import ListFlowable

    points = [_paragraph(item, "text") for item in items]
    return ListFlowable(points, bulletType="bullet", bulletFontSize=6, bulletOffsetY=-2, leftIndent=12)


def _grid(rows: Sequence[Sequence[str]], widths: Sequence[float], row_height: float | None = None) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.platypus import Table as Grid

    cells = [[_paragraph(cell, "cell" if number else "head") for cell in row] for number, row in enumerate(rows)]
    style: list[Any] = [
        ("BACKGROUND", (0, 0), (-1, 0), HexColor(PALE)),
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor("#c8ced5")),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 3),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
        ("LEFTPADDING", (0, 0), (-1, -1), 4),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ]
    heights = None if row_height is None else [None, *[row_height] * (len(rows) - 1)]
    return Grid(cells, colWidths=list(widths), rowHeights=heights, style=style, repeatRows=1, spaceAfter=6)


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]], width: float) -> list[float]:
    """Share the width by what the columns hold; no column is so narrow that its words break, nor takes more than half."""
    longest = [max(BOLDER * len(name), *map(len, column)) for name, *column in zip(head, *rows, strict=True)]
    shares = [min(max(chars, 9), 34) for chars in longest]
    return [width * share / sum(shares) for share in shares]


def _paragraph(text: str, style: str) -> Any:
    from reportlab.platypus import Paragraph

    return Paragraph(escape(_known(clean(text))), _styles()[style])


def _known(text: str) -> str:
    """Leave out what the font cannot show: an empty box would say that something is hidden."""
    return "".join(letter if ord(letter) in _letters() else "?" for letter in text)


@cache
def _letters() -> frozenset[int]:
    from reportlab.pdfbase import pdfmetrics

    _fonts()
    font: Any = pdfmetrics.getFont(FONT)
    return frozenset(font.face.charToGlyph)


@cache
def _fonts() -> None:
    import reportlab
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(reportlab.__file__).parent / "fonts"
    for name in (FONT, BOLD):
        pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))


@cache
def _styles() -> dict[str, Any]:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle

    def style(name: str, size: float, *, bold: bool = False, colour: str = INK, **other: Any) -> Any:
        font = BOLD if bold else FONT
        known = {"fontName": font, "fontSize": size, "leading": size * 1.35, "textColor": HexColor(colour)}
        return ParagraphStyle(name, **{**known, "splitLongWords": 1, **other})

    return {
        "title": style("title", 17, bold=True, spaceAfter=6),
        "line": style("line", 8.5, colour=GREY),
        "heading": style("heading", 11.5, bold=True, spaceBefore=12, spaceAfter=4),
        "strong": style("strong", 10, bold=True, spaceAfter=4),
        "text": style("text", 9, spaceAfter=3),
        "cell": style("cell", 8),
        "head": style("head", 8, bold=True),
    }


def _numbered(title: str, seal: str, width: float) -> Callable[..., Any]:
    """Return a maker of pages whose foot says which of how many they are, known only when all are drawn."""
    from reportlab.pdfgen.canvas import Canvas

    class Numbered(Canvas):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.drawn: list[dict[str, Any]] = []

        def showPage(self) -> None:  # noqa: N802 - the library's name
            self.drawn.append(dict(self.__dict__))
            self._startPage()  # type: ignore[attr-defined]

        def save(self) -> None:
            for number, page in enumerate(self.drawn, 1):
                self.__dict__.update(page)
                _foot(self, width, f"{title} - page {number} of {len(self.drawn)}", seal)
                super().showPage()
            super().save()

    return partial(Numbered)


def _foot(page: Any, width: float, left: str, right: str) -> None:
    page.setFont(FONT, 6.5)
    page.setFillColor(GREY)
    page.drawString(MARGIN, 30, left)
    page.drawRightString(width - MARGIN, 30, right)
