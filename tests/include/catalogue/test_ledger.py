"""The ledger itself: complete, in order, true, and the pages made of it are fresh."""

from __future__ import annotations

import re

import pytest

from include.catalogue.__main__ import ROOT, main, stale
from include.catalogue.judge import problems
from include.catalogue.model import load
from include.catalogue.render import pages
from include.catalogue.tree import Tree

LINES = {"H": 17, "W": 12, "M": 12, "P": 18, "D": 10, "R": 4, "A": 24, "F": 11, "B": 16, "X": 11, "S": 14}
IMPLIED = {"H-17+", "M-12+", "P-18+", "R-04+", "A-24+", "B-15+", "B-16+", "X-00+", "S-14+"}


def test_every_line_of_the_procedures_has_its_place() -> None:
    ids = [item.id for item in load().all_items()]
    expected = [f"{key}-{number:02}" for key, lines in LINES.items() for number in _numbers(key, lines)]
    assert len(ids) == 149
    assert [item.rstrip("+") for item in ids] == expected
    assert {item for item in ids if item.endswith("+")} == IMPLIED


def _numbers(key: str, lines: int) -> range:
    return range(lines) if key == "X" else range(1, lines + 1)


def test_every_hazard_has_its_place() -> None:
    catalogue = load()
    assert [hazard.id for hazard in catalogue.document_hazards()] == [f"BUG-{n:02}" for n in range(1, 102)]
    assert [hazard.id for hazard in catalogue.platform_hazards()] == [f"AF-{n:02}" for n in range(1, 14)]


def test_no_two_lines_ask_for_the_same_thing_in_the_same_words() -> None:
    catalogue = load()
    sentences = [item.what for item in catalogue.all_items()] + [hazard.harm for hazard in catalogue.all_hazards()]
    assert len(set(sentences)) == len(sentences) == 149 + 101 + 13


def test_everything_that_the_ledger_names_exists() -> None:
    assert list(problems(load(), Tree(ROOT))) == []


def test_the_pages_are_made_of_the_ledger_of_today() -> None:
    assert list(stale(pages(load()), ROOT)) == []


def test_the_page_holds_every_line() -> None:
    page = (ROOT / "docs/runbook.md").read_text()
    assert len(re.findall(r"^\| [A-Z]-\d\d\+? \|", page, re.MULTILINE)) == 149


def test_the_command_prints_the_three_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(r"\d+/149 items\n\d+/101 document hazards\n\d+/13 platform hazards\n", printed)
