"""What the pages say about the tree is true: links lead somewhere, examples parse, commands exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})
PARSERS: dict[str, Callable[[str], object]] = {"python": ast.parse, "yaml": yaml.safe_load}
MAKEFILE = (ROOT / "Makefile").read_text()

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pages
def test_examples_parse(page: Path) -> None:
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        PARSERS.get(language, str)(text)


@pages
def test_make_targets_exist(page: Path) -> None:
    named = set(re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), re.MULTILINE))
    missing = {target for target in named if not re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)}
    assert missing == set()


@pages
def test_names_no_place_of_one_machine(page: Path) -> None:
    assert re.findall(r"/(?:root|home/\w+|work)/", page.read_text()) == []


def test_decisions_are_numbered_once() -> None:
    numbers = [page.name[:4] for page in (ROOT / "docs/adr").glob("*.md")]
    assert len(numbers) == len(set(numbers))
