"""What the project really holds: DAGs, tasks, the item ids that each task names, and tests; parsed, never imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from include.catalogue.model import ITEM_ID

Tasks = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Tree:
    """A checkout, read when asked."""

    root: Path

    @cached_property
    def dags(self) -> Mapping[str, Tasks]:
        """The tasks of each DAG, and the item ids that the code behind each of them names."""
        files = (parsed for path in sorted((self.root / "dags").glob("*.py")) for parsed in [parse(path)])
        return {dag_id: self._tasks(module) for module in files for dag_id in _dag_ids(module)}

    @cached_property
    def tests(self) -> frozenset[str]:
        """The node ids of all test functions, without parameters."""
        files = sorted((self.root / "tests").rglob("test_*.py"))
        return frozenset(node for path in files for node in _test_nodes(path, path.relative_to(self.root)))

    def _tasks(self, module: ast.Module) -> Tasks:
        imports = dict(imported_names(module))
        return {_keyword(call, "task_id"): self._items(call, imports) for call in _calls_with(module, "task_id")}

    def _items(self, call: ast.Call, imports: Mapping[str, str]) -> frozenset[str]:
        """The ids that the call names itself, and those of the modules behind the class that it calls."""
        behind = imports.get(call.func.id, "") if isinstance(call.func, ast.Name) else ""
        return frozenset(item_ids(call)).union(*(facts(path).items for path in self._modules_behind(behind)))

    def _modules_behind(self, name: str) -> frozenset[Path]:
        """Our own modules that an imported name needs, followed from import to import."""
        found: set[Path] = set()
        names = [name]
        while names:
            path = self._file(names.pop())
            if path and path not in found:
                found.add(path)
                names += facts(path).imports
        return frozenset(found)

    def _file(self, dotted: str) -> Path | None:
        """The file of `include.checks.redis`, or of `include.checks.redis.judge_memory`, which lies in it."""
        for name in (dotted, dotted.rpartition(".")[0]):
            for home in (self.root, self.root / "plugins"):
                path = home / (name.replace(".", "/") + ".py")
                if name and path.is_file():
                    return path
        return None


@dataclass(frozen=True)
class Facts:
    """What a module says: the dotted paths that it imports, and the item ids that it names."""

    imports: frozenset[str]
    items: frozenset[str]


def facts(path: Path) -> Facts:
    """Read a file's facts, once as long as it is not written anew; SyntaxError names it."""
    return _facts(path, path.stat().st_mtime_ns)


@cache
def _facts(path: Path, written_ns: int) -> Facts:  # noqa: ARG001 - part of what is remembered
    module = parse(path)
    return Facts(frozenset(dotted for _, dotted in imported_names(module)), frozenset(item_ids(module)))


def parse(path: Path) -> ast.Module:
    """Parse a file; SyntaxError names it."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_names(module: ast.Module) -> Iterator[tuple[str, str]]:
    """The names that a module imports, at any depth, with the dotted path of each."""
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)


def item_ids(node: ast.AST) -> Iterator[str]:
    """The item ids that stand as strings of their own somewhere below a node."""
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str) and re.fullmatch(ITEM_ID, child.value):
            yield child.value


def _dag_ids(module: ast.Module) -> list[str]:
    calls = _calls_with(module, "dag_id")
    return [_keyword(call, "dag_id") for call in calls if isinstance(call.func, ast.Name) and call.func.id == "DAG"]


def _calls_with(module: ast.Module, keyword: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module) if isinstance(node, ast.Call) and _keyword(node, keyword))


def _keyword(call: ast.Call, name: str) -> str:
    """The string given for a keyword, or "" when it is not given as one."""
    given = (keyword.value for keyword in call.keywords if keyword.arg == name)
    value = next(given, None)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def _test_nodes(path: Path, name: Path) -> Iterator[str]:
    body = parse(path).body
    yield from (f"{name.as_posix()}::{test}" for test in _functions(body))
    for group in (node for node in body if isinstance(node, ast.ClassDef)):
        yield from (f"{name.as_posix()}::{group.name}::{test}" for test in _functions(group.body))


def _functions(body: list[ast.stmt]) -> Iterator[str]:
    functions = (node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return (name for name in functions if name.startswith("test"))
