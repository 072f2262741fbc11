"""`python -m include.catalogue [--write]`: count what works, name every claim that is not true, make the pages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from include.catalogue.judge import problems, proved, working
from include.catalogue.model import Catalogue, load
from include.catalogue.render import pages
from include.catalogue.tree import Tree
from include.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Print the counts; 0 if every claim holds and the pages are fresh, else 1."""
    options = _parser().parse_args(arguments)
    catalogue, tree = load(root / "include/catalogue"), Tree(root)
    if options.write:
        write(pages(catalogue), root)
    wrong = [*problems(catalogue, tree), *stale(pages(catalogue), root)]
    print(counts(catalogue, tree), flush=True)
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


def counts(catalogue: Catalogue, tree: Tree) -> str:
    """Three lines: items that work, hazards of the document and of the platform that are proved away."""
    document, platform = catalogue.document_hazards(), catalogue.platform_hazards()
    return (
        f"{len(working(catalogue, tree))}/{len(list(catalogue.all_items()))} items\n"
        f"{len(proved(document, tree))}/{len(document)} document hazards\n"
        f"{len(proved(platform, tree))}/{len(platform)} platform hazards"
    )


def write(made: Mapping[str, str], root: Path) -> None:
    """Write every page below the root."""
    for name, text in made.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def stale(made: Mapping[str, str], root: Path) -> Iterator[str]:
    """Pages that are not what the ledger would make today."""
    for name, text in made.items():
        path = root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield f"{name}: is older than the ledger; run python -m include.catalogue --write"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.catalogue", description="The ledger of the runbook.")
    parser.add_argument("--write", action="store_true", help="make docs/runbook.md and docs/hazards.md anew")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConfigurationError as error:
        sys.exit(str(error))
