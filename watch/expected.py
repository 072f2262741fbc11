"""The list of runs that must happen: read from a file in git, refused as a whole if any line is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from croniter import croniter
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from include import settings as policy
from include.errors import ConfigurationError

ZONES = {"team": "time_zone", "maintenance": "maintenance_time_zone"}
"""A zone that the settings of the runbooks name, by its word in the list."""


def _known_cron(cron: str) -> str:
    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise ValueError(f"{cron!r} is no cron expression of five fields, such as '0 9 * * *'")
    return cron


def _named_in_the_settings(zone: str) -> str:
    return getattr(policy.load(), ZONES[zone]) if zone in ZONES else zone


def _only_of_a_backup(database: str, info: ValidationInfo) -> str:
    proof = info.data.get("proof")
    if proof == "good_backup" and not database:
        raise ValueError("the proof good_backup needs the name of the database")
    if proof == "evidence" and database:
        raise ValueError("the proof evidence has no database; only good_backup has")
    return database


class ExpectedRun(BaseModel):
    """One DAG that must leave proof of a run within `grace_minutes` of each slot.

    :param database: whose backup is the proof: a database's, or the configuration's of a namespace.
    :param kind: which of the two.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dag_id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,199}$")]
    cron: Annotated[str, AfterValidator(_known_cron)]
    zone: Annotated[policy.TimeZoneName, BeforeValidator(_named_in_the_settings)]
    grace_minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)]
    proof: Literal["evidence", "good_backup"]
    database: Annotated[
        str, Field(pattern=r"^[\w.-]{0,63}$", validate_default=True), AfterValidator(_only_of_a_backup)
    ] = ""
    kind: Literal["database", "configuration"] = "database"

    @property
    def tz(self) -> ZoneInfo:
        """The zone that the cron expression is read in."""
        return ZoneInfo(self.zone)


class ExpectedRuns(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: Annotated[tuple[ExpectedRun, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_once(self) -> ExpectedRuns:
        ids = [run.dag_id for run in self.runs]
        if twice := sorted({dag_id for dag_id in ids if ids.count(dag_id) > 1}):
            raise ValueError(f"{twice[0]} is listed twice")
        return self


def load(file: Path) -> tuple[ExpectedRun, ...]:
    """Read the list; ConfigurationError names the file, the entry, the field and the rule."""
    try:
        return ExpectedRuns.model_validate(yaml.safe_load(file.read_text())).runs
    except OSError as error:
        raise ConfigurationError(f"the list of expected runs {file} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{file}: {_one_sentence(error)}") from None


def _one_sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{_place(first['loc'])}: {first['msg']} (got {str(first['input'])[:80]!r})"


def _place(location: tuple[Any, ...]) -> str:
    words = [f"entry {part + 1}" if isinstance(part, int) else str(part) for part in location]
    return ", ".join(words) or "the file"
