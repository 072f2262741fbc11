"""The two data files, read and checked for form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from include.errors import ConfigurationError

T = TypeVar("T")
HERE = Path(__file__).resolve().parent
ITEM_ID = r"^[A-Z]-\d\d\+?$"
HAZARD_ID = r"^(BUG-\d{2,3}|AF-\d{2})$"

Sentence = Annotated[str, Field(pattern=r"^\S.*\.$")]
NodeId = Annotated[str, Field(pattern=r"^tests/[\w/]+\.py::\w+(::\w+)?$")]


class Entry(BaseModel):
    """Frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Item(Entry):
    """One line of the runbook.

    :param what: what it asks, in one sentence.
    :param evidence: the item id under which the task records its row; one number may serve several lines.
    :param test: the pytest node that shows it.
    """

    id: Annotated[str, Field(pattern=ITEM_ID)]
    what: Sentence
    dag: str | None = None
    task: str | None = None
    evidence: Annotated[str, Field(pattern=ITEM_ID)] | None = None
    test: NodeId | None = None

    @property
    def working(self) -> bool:
        """Whether it names all four; that they exist is for `judge` to say."""
        return None not in (self.dag, self.task, self.evidence, self.test)


class Hazard(Entry):
    """One way in which the procedures, or Airflow, would do harm, and the tests that prove it away."""

    id: Annotated[str, Field(pattern=HAZARD_ID)]
    harm: Sentence
    instead: Sentence
    tests: tuple[NodeId, ...] = ()


class ItemChapter(Entry):
    """A chapter of the procedures."""

    chapter: str
    items: tuple[Item, ...]


class HazardChapter(Entry):
    """The hazards of one subject."""

    chapter: str
    hazards: tuple[Hazard, ...]


class Catalogue(Entry):
    """Both files."""

    items: tuple[ItemChapter, ...]
    hazards: tuple[HazardChapter, ...]

    def all_items(self) -> Iterator[Item]:
        """Every line in the order of the procedures."""
        return (item for chapter in self.items for item in chapter.items)

    def document_hazards(self) -> list[Hazard]:
        """Those of the procedures' own commands."""
        return [hazard for hazard in self.all_hazards() if hazard.id.startswith("BUG-")]

    def platform_hazards(self) -> list[Hazard]:
        """Those that Airflow brings."""
        return [hazard for hazard in self.all_hazards() if hazard.id.startswith("AF-")]

    def all_hazards(self) -> Iterator[Hazard]:
        """Every hazard in the order of the file."""
        return (hazard for chapter in self.hazards for hazard in chapter.hazards)


def load(folder: Path = HERE) -> Catalogue:
    """Read `items.yaml` and `hazards.yaml`; ConfigurationError names the file, the entry and the rule."""
    return Catalogue(
        items=_read(folder / "items.yaml", tuple[ItemChapter, ...]),
        hazards=_read(folder / "hazards.yaml", tuple[HazardChapter, ...]),
    )


def _read(path: Path, shape: type[T]) -> T:
    try:
        return TypeAdapter(shape).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path.name}, entry {where}: {first['msg']} (got {first['input']!r})") from None
