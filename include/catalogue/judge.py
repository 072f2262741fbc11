"""What the ledger claims against what the tree holds: pure, one sentence for each claim that is not true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from include.catalogue.model import Catalogue, Hazard, Item
from include.catalogue.tree import Tasks, Tree


def problems(catalogue: Catalogue, tree: Tree) -> Iterator[str]:
    """Every claim that does not hold."""
    yield from doubles([item.id for item in catalogue.all_items()])
    yield from doubles([hazard.id for hazard in catalogue.all_hazards()])
    for item in catalogue.all_items():
        yield from item_problems(item, tree)
    for hazard in catalogue.all_hazards():
        yield from missing_tests(hazard.id, hazard.tests, tree)
        yield from unlisted_tests(hazard, tree)


def doubles(ids: Iterable[str]) -> Iterator[str]:
    """Ids that stand more than once."""
    return (f"{name}: stands {count} times; an id has one place" for name, count in Counter(ids).items() if count > 1)


def item_problems(item: Item, tree: Tree) -> Iterator[str]:
    """What one item names and the tree does not have."""
    yield from _work_problems(item, tree)
    if item.test:
        yield from missing_tests(item.id, [item.test], tree)


def _work_problems(item: Item, tree: Tree) -> Iterator[str]:
    if not item.dag:
        if item.task or item.evidence:
            yield f"{item.id}: names a task or evidence without a DAG; write its dag beside it"
    elif item.dag not in tree.dags:
        yield f"{item.id}: no file in dags/ has dag_id {item.dag}; name one that exists"
    else:
        yield from _task_problems(item, tree.dags[item.dag])


def _task_problems(item: Item, tasks: Tasks) -> Iterator[str]:
    if item.task and item.task not in tasks:
        yield f"{item.id}: {item.dag} has no task {item.task}; it has {', '.join(sorted(tasks)) or 'none'}"
    elif item.evidence and item.evidence not in tasks.get(item.task or "", ()):
        yield f"{item.id}: nothing behind {item.dag}.{item.task} names {item.evidence}; let its code record that item"


def missing_tests(name: str, tests: Iterable[str], tree: Tree) -> Iterator[str]:
    """Tests that are named and not defined."""
    return (f"{name}: no test {node}; name one that exists" for node in tests if node not in tree.tests)


def unlisted_tests(hazard: Hazard, tree: Tree) -> Iterator[str]:
    """Tests that carry the hazard's id in their name, `test_bug_75_…`, and are not listed with it."""
    name = f"::test_{hazard.id.lower().replace('-', '_')}_"
    carrying = sorted(node for node in tree.tests if name in node and node not in hazard.tests)
    return (f"{hazard.id}: {node} carries its id; list it in hazards.yaml" for node in carrying)


def working(catalogue: Catalogue, tree: Tree) -> list[Item]:
    """The items whose task, evidence and test are all named and all exist."""
    return [item for item in catalogue.all_items() if item.working and not any(item_problems(item, tree))]


def proved(hazards: Iterable[Hazard], tree: Tree) -> list[Hazard]:
    """The hazards with at least one test, all of which exist."""
    return [hazard for hazard in hazards if hazard.tests and tree.tests.issuperset(hazard.tests)]
